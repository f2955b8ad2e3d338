"""A report as JUnit's XML, which CI systems show."""

import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree as Xml

from authz.policy.gate.report import GateReport, Part

_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: GateReport) -> str:
    """One suite for each part, one case for each thing that passed, and one for each problem."""
    root = Xml.Element("testsuites", name=report.source)
    for part in report.parts:
        suite = Xml.SubElement(root, "testsuite", name=part.name)
        for element in _cases(part):
            suite.append(element)
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("*/failure"))))
        suite.set("skipped", str(len(suite.findall("*/skipped"))))
    text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", Xml.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _cases(part: Part) -> Iterator[Xml.Element]:
    """What passed by name, and each problem; a part that has neither is a case itself."""
    yield from (Xml.Element("testcase", classname=part.name, name=name) for name in part.passed)
    for problem in part.problems:
        case = Xml.Element("testcase", classname=part.name, name=f"{problem.path}:{problem.line}", file=problem.path)
        Xml.SubElement(case, "failure", message=problem.message).text = str(problem)
        yield case
    if not part.passed and not part.problems:
        case = Xml.Element("testcase", classname=part.name, name=part.name)
        if part.status == "not run":
            Xml.SubElement(case, "skipped", message=part.said)
        yield case
