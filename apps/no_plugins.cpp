// What libraries can do and the static programs cannot: load more code, look up hosts. There is
// nothing in their root to load and no network to look into; the linker sends the calls here
// (--wrap), and the C library's loader and resolver stay out.
#include <netdb.h>

extern "C" {
void* __wrap_dlopen(const char* file, int mode);
void* __wrap_dlsym(void* library, const char* name);
int __wrap_dlclose(void* library);
char* __wrap_dlerror();
int __wrap_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                       addrinfo** found);
hostent* __wrap_gethostbyname(const char* name);

void* __wrap_dlopen(const char*, int) { return nullptr; }
void* __wrap_dlsym(void*, const char*) { return nullptr; }
int __wrap_dlclose(void*) { return 0; }
char* __wrap_dlerror() { return nullptr; }
int __wrap_getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) { return EAI_FAIL; }
hostent* __wrap_gethostbyname(const char*) { return nullptr; }
}
