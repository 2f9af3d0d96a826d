[
    "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n",
    "* OK [UIDVALIDITY 17] valid\r\n",
    "a1 OK [READ-ONLY] EXAMINE done\r\n",
    "a2 NO [AUTHENTICATIONFAILED] no\r\n",
    "* CAPABILITY IMAP4rev1 IDLE UIDPLUS\r\n",
    "* SEARCH 7 9 4294967295\r\n",
    "* 3 EXISTS\r\n",
    "+ idling\r\n",
    "* 3 FETCH (FLAGS (\\Seen (x)) UID 9 BODY[HEADER.FIELDS (FROM)] \"a \\\" (b\" RFC822.SIZE 5 BODY[]<0> {5}\r\na)\r\n( MODSEQ (7))\r\n",
    "* 1 FETCH (UID 4 BODY[] NIL)\r\n",
]
