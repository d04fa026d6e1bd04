"""The names of machines, and their results side by side."""

import pytest

from benchmarks import report
from benchmarks.machine import describe_cpu, machine, name_of

CPUINFO = """processor\t: 0
vendor_id\t: {vendor}
cpu family\t: {family}
model\t\t: {model}
model name\t: {name}
flags\t\t: fpu avx2 avx512f avx512_vnni

processor\t: 1
model name\t: another
"""


@pytest.mark.parametrize(
    ("vendor", "family", "model", "microarchitecture"),
    [
        ("AuthenticAMD", 23, 49, "Zen 2"),  # EPYC 7R32, c5a
        ("AuthenticAMD", 25, 1, "Zen 3"),  # EPYC 7R13, c6a
        ("AuthenticAMD", 25, 17, "Zen 4"),  # EPYC 9R14, c7a
        ("AuthenticAMD", 26, 2, "Zen 5"),  # EPYC 9R45, c8a
        ("GenuineIntel", 6, 143, "Sapphire Rapids"),  # Xeon 8488C, c7i
        ("GenuineIntel", 6, 1, None),
    ],
)
def test_a_cpu_s_microarchitecture_and_instructions(
    vendor: str, family: int, model: int, microarchitecture: str | None
):
    cpu = describe_cpu(CPUINFO.format(vendor=vendor, family=family, model=model, name="EPYC"))

    instructions = ["avx2", "avx512f", "avx512_vnni"]
    assert cpu == {"cpu": "EPYC", "microarchitecture": microarchitecture, "instructions": instructions}
    assert name_of(cpu) == (f"EPYC ({microarchitecture})" if microarchitecture else "EPYC")


def test_an_arm_cpu():
    cpu = describe_cpu("processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n")
    assert (cpu["microarchitecture"], cpu["instructions"]) == ("Neoverse N1", ["asimddp"])


def test_this_machine_has_a_name():
    assert name_of(machine())


def test_machines_stand_side_by_side():
    def summary(cpu: str, date: str, *rows: dict) -> dict:
        return {"date": date, "machine": {"cpu": cpu, "microarchitecture": None, "cpus": 2}, "rows": list(rows)}

    first = summary(
        "A", "2026-11-26", {"name": "ratio", "value": 0.5}, {"name": "x", "value": 300, "aim": "≤ 220", "met": False}
    )
    second = summary(
        "B", "2026-11-25", {"name": "ratio", "value": 0.25}, {"name": "old", "value": 1, "aim": "≤ 2", "met": True}
    )
    assert list(report.machines([first, second])) == [
        "| this project, balanced | aim | A, 2 CPUs, 2026-11-26 | B, 2 CPUs, 2026-11-25 |",
        "|---|---:|---:|---:|",
        "| ratio |  | 0.5 | 0.25 |",
        "| x | ≤ 220 | **300** |  |",
        "| old | ≤ 2 |  | 1 |",
    ]
