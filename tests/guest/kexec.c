// kexec IMAGE INITRD WORDS: starts another kernel in the place of this one, two seconds from now.

#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char** words) {
  if (count != 4) return 2;
  int image = open(words[1], O_RDONLY | O_CLOEXEC), initrd = open(words[2], O_RDONLY | O_CLOEXEC);
  if (image < 0 || initrd < 0) return perror("open"), 1;
  // The length counts the NUL.
  if (syscall(SYS_kexec_file_load, image, initrd, strlen(words[3]) + 1, words[3], 0L) < 0)
    return perror("kexec_file_load"), 1;
  if (fork() != 0) return 0;
  for (int fd = 0; fd < 3; ++fd) close(fd);
  sleep(2);
  return reboot((int)LINUX_REBOOT_CMD_KEXEC);
}
