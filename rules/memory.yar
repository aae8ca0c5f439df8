// Byte patterns over the guest's memory. A rule's meta says what the finding says of it:
// description, severity (info, low, medium, high, critical) and technique (ATT&CK).

rule eicar_test_file
{
    meta:
        description = "the EICAR test string, by which scanners are tried"
        severity = "info"
        technique = "T1204.002"
    strings:
        $a = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    condition:
        $a
}
