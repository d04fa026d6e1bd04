"""The machine on which something is measured."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

MICROARCHITECTURES = (
    ("AuthenticAMD", 23, "30-4f 60-7f 90-91 a0-af", "Zen 2"),
    ("AuthenticAMD", 23, "00-ff", "Zen"),
    ("AuthenticAMD", 25, "10-1f 60-af", "Zen 4"),
    ("AuthenticAMD", 25, "00-ff", "Zen 3"),
    ("AuthenticAMD", 26, "00-2f 40-4f 60-7f", "Zen 5"),
    ("GenuineIntel", 6, "3f", "Haswell"),
    ("GenuineIntel", 6, "4f", "Broadwell"),
    ("GenuineIntel", 6, "55", "Skylake or Cascade Lake"),
    ("GenuineIntel", 6, "6a", "Ice Lake"),
    ("GenuineIntel", 6, "8f", "Sapphire Rapids"),
    ("GenuineIntel", 6, "cf", "Emerald Rapids"),
    ("GenuineIntel", 6, "ad", "Granite Rapids"),
)
"""Vendor, family, models in hexadecimal and name of servers' CPUs. A virtual machine's "model name" may hide which one it is. From
Linux: ``arch/x86/kernel/cpu/amd.c`` (``bsp_init_amd``) and ``arch/x86/include/asm/intel-family.h``."""
ARM_PARTS = {"0xd0c": "Neoverse N1", "0xd40": "Neoverse V1", "0xd49": "Neoverse N2", "0xd4f": "Neoverse V2"}
"""By "CPU part": ``arch/arm64/include/asm/cputype.h``."""
INSTRUCTIONS = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimddp", "i8mm", "bf16", "sve"),
)
"""The instruction sets on which the speed of a graph depends, by their names in ``/proc/cpuinfo``."""


def machine() -> dict:
    """The CPU and the versions that a measurement depends on."""
    return describe_cpu(Path("/proc/cpuinfo").read_text()) | {
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
    }


def describe_cpu(cpuinfo: str) -> dict:
    """The first CPU of ``/proc/cpuinfo``: its name, microarchitecture (None if it is not known here) and :data:`INSTRUCTIONS`."""
    first = dict(re.findall(r"^(.+?)\s*: (.*)$", cpuinfo.split("\n\n")[0], re.MULTILINE))
    flags = first.get("flags", first.get("Features", "")).split()
    return {
        "cpu": first.get("model name", platform.machine()),
        "microarchitecture": _microarchitecture(first),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
    }


def _microarchitecture(cpu: dict[str, str]) -> str | None:
    if "vendor_id" not in cpu:
        return ARM_PARTS.get(cpu.get("CPU part", ""))
    for vendor, family, models, name in MICROARCHITECTURES:
        if (cpu["vendor_id"], cpu["cpu family"]) == (vendor, str(family)):
            for ends in models.split():
                first, _, last = ends.partition("-")
                if int(first, 16) <= int(cpu["model"]) <= int(last or first, 16):
                    return name
    return None


def name_of(machine: dict) -> str:
    """What documents call a machine: its CPU's name and microarchitecture."""
    kind = machine["microarchitecture"]
    return f"{machine['cpu']} ({kind})" if kind else machine["cpu"]
