"""The notes that are synced: short ones with a long tail, made from a seed, so the same on every machine.

No run of these words is a recovery phrase by chance, which our node would hold back: the words of such
phrases have three to eight letters, and none here has.
"""
import math
import random

FOLDERS = {"Needs_Action/email": 20, "Needs_Action/files": 10, "Plans": 10, "Pending_Approval": 5, "Done": 45,
           "Logs": 10}
LONG = """agreement apartment appointment babysitter bookkeeping breakfast calculation cancellation carpenter certificate
commission completed conference confirmed considered correction customers deadlines delivered department
deposited described discussed documents electrician employees everything extension furniture Geburtstag
government household important insurance interview inventory invitation maintenance municipal
negotiate neighbour's newsletter occasionally otherwise passports permanent photograph preferred proposals
quarterly questions radiators reimbursement remaining requested Rückfrage scheduled signature something
specialist spreadsheet statement Steuererklärung subscription suggested suppliers sometimes telephone temporary
timetable translation travelling unanswered uncertain understood vegetables Vorschlag warehouse Wednesday
workshops yesterday""".split()
SHORT = ("as", "at", "by", "if", "in", "is", "it", "my", "no", "of", "on", "so", "to", "up", "us", "we")

MEDIAN_BYTES, SIGMA, BYTES_MAX = 1500, 1.0, 200_000


def line(rng):
    words = [rng.choice(LONG if number % 2 else SHORT) for number in range(rng.randint(5, 15))]
    return " ".join(words).capitalize()


def prose(rng, size):
    """Paragraphs, headings and lists of about `size` bytes."""
    parts, length = [], 0
    while length < size:
        kind = rng.random()
        if kind < 0.1:
            part = f"## {line(rng)}\n\n"
        elif kind < 0.3:
            part = "".join(f"- [{rng.choice(' x')}] {line(rng)}\n" for _ in range(rng.randint(2, 5))) + "\n"
        else:
            part = ". ".join(line(rng) for _ in range(rng.randint(1, 5))) + ".\n\n"
        parts.append(part)
        length += len(part.encode())
    return "".join(parts)


def note(rng, number, size):
    """The bytes of one note. One subject in seven is not YAML, and one note in seven has CRLF, as in real vaults."""
    subject = line(rng)
    if rng.random() < 1 / 7:
        subject = f"Re: [{subject}"
    text = (f"---\nid: note-{number}\nsubject: {subject}\nstatus: open\n"
            f"from: person{rng.randint(1, 300)}@example.org\n---\n\n{prose(rng, size)}")
    return (text.replace("\n", "\r\n") if rng.random() < 1 / 7 else text).encode()


def write(root, count):
    """Write `count` notes under `root`: their paths, and how many bytes they have."""
    rng, paths, total = random.Random(1), [], 0
    for number in range(count):
        folder = rng.choices(list(FOLDERS), list(FOLDERS.values()))[0]
        accent = " – über" if rng.random() < 0.3 else ""
        path = root / folder / f"{number:05d} {rng.choice(LONG[:7])}{accent}.md"
        content = note(rng, number, min(int(rng.lognormvariate(math.log(MEDIAN_BYTES), SIGMA)), BYTES_MAX))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path.relative_to(root))
        total += len(content)
    return paths, total
