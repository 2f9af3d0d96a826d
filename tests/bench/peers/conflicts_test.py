"""The judge of the conflicts can say no: outcomes as peers leave them, each case once right and once wrong.

    python3 -m unittest discover tests/bench/peers '*_test.py'
"""
import unittest

from conflicts import (ADDED, CASES, CLAIMS, DRAFT, ENTRIES, FILED, LATE, LOG, NOTE, RENAMED, TEXT, Outcome, judge,
                       with_words)

FAR, UPPER, LOWER = ("second", "second, LEFT"), ("fourth", "fourth, LEFT"), ("fifth", "fifth, RIGHT")
APPROVED, REJECTED = (with_words(("pending", word)) for word in ("approved", "rejected"))
ENTRIES_OF = {side: "".join(f"{entry}\n" for entry in added) for side, added in ADDED.items()}
COPY = "Plans/case.sync-conflict-1.md"

# Of each case: files that are right, files that are not.
RIGHT = {
    "different lines": {NOTE: with_words(FAR, LATE)},
    "neighbouring lines": {NOTE: with_words(UPPER, LOWER)},
    "one field": {NOTE: APPROVED, COPY: REJECTED},
    "both add to a log": {ENTRIES: LOG + ENTRIES_OF["right"] + ENTRIES_OF["left"]},
    "renamed and edited": {RENAMED: with_words(LATE)},
    "deleted and edited": {NOTE: with_words(LATE)},
    "claimed twice": {CLAIMS["right"]: TEXT},
    "edited after filing": {FILED: TEXT, DRAFT: with_words(LATE)},
}
WRONG = {
    "different lines": [{NOTE: with_words(LATE)}, {NOTE: with_words(LATE), COPY: with_words(FAR)}],
    "neighbouring lines": [{NOTE: with_words(UPPER)}, {NOTE: with_words(UPPER, LOWER).replace("third\n", "")},
                           {NOTE: "<<<<<<< HEAD\n" + with_words(UPPER, LOWER)}],
    "one field": [{NOTE: APPROVED}, {NOTE: with_words(("pending", "approved\nstatus: rejected"))},
                  {NOTE: TEXT, COPY: APPROVED + REJECTED}],
    "both add to a log": [{ENTRIES: LOG + ENTRIES_OF["right"]},
                          {ENTRIES: LOG + ENTRIES_OF["left"] * 2 + ENTRIES_OF["right"]},
                          {ENTRIES: LOG + ENTRIES_OF["left"] + ENTRIES_OF["right"] + '{"by":"nobody"}\n'}],
    "renamed and edited": [{RENAMED: TEXT}, {RENAMED: TEXT, NOTE: with_words(LATE)}],
    "deleted and edited": [{}, {NOTE: TEXT}],
    "claimed twice": [{}, {path: TEXT for path in CLAIMS.values()}],
    "edited after filing": [{FILED: with_words(LATE)}, {FILED: TEXT}],
}


class Judge(unittest.TestCase):
    def test_each_case_can_be_right(self):
        for name, files in RIGHT.items():
            self.assertTrue(judge(CASES[name], Outcome(files, files, []))["right"], name)

    def test_each_case_can_be_wrong(self):
        self.assertEqual(list(WRONG), list(CASES))
        for name, wrongs in WRONG.items():
            for files in wrongs:
                self.assertFalse(judge(CASES[name], Outcome(files, files, []))["right"], f"{name}: {files}")

    def test_vaults_that_differ_are_wrong(self):
        for name, files in RIGHT.items():
            self.assertFalse(judge(CASES[name], Outcome(files, {}, []))["right"], name)

    def test_what_a_report_holds_is_kept(self):
        for name, files, word in (("one field", {NOTE: APPROVED}, "rejected"),
                                  ("edited after filing", {FILED: TEXT}, "RIGHT")):
            self.assertTrue(judge(CASES[name], Outcome(files, files, [f"one side: {word}"]))["right"], name)

    def test_silence_is_no_report(self):
        for name, case in CASES.items():
            self.assertFalse(judge(case, Outcome({}, {}, []))["reported"], name)
            self.assertTrue(judge(case, Outcome({}, {}, ["look here"]))["reported"], name)

    def test_an_edited_draft_reports_itself_if_both_have_it(self):
        case, files = CASES["edited after filing"], RIGHT["edited after filing"]
        self.assertTrue(judge(case, Outcome(files, files, []))["reported"])
        self.assertFalse(judge(case, Outcome({FILED: TEXT}, files, []))["reported"])


if __name__ == "__main__":
    unittest.main()
