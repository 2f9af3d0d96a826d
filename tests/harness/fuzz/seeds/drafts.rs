[
    "---\naction: email\nto: a@client.test\ncc: [\"B <b@client.test>\", c@client.test]\nsubject: 'It''s \"here\"'\nattachment: Invoices/x.pdf\nexpires: 2026-01-07T10:30:00Z\n---\nHello\n",
    "---\r\naction: reply\r\nto:\r\n  - a@client.test\r\nsubject: x\r\nin_reply_to: \"<1@client.test>\"\r\nreferences: [\"<0@client.test>\"]\r\nstatus: pending\r\n---\r\nHello\r\n",
    "---\naction: post\nnetwork: mastodon\nattachments: [Invoices/x.pdf]\n---\n",
    "---\naction: payment\npayee: \"A\\u00e9\"\naccount: DE00\namount: 1500.00\ncurrency: EUR\nreference: 2026-01\n---\n",
    "---\naction: tool\nserver: files\ntool: move\n---\n{\"a\": [1, {\"b\": null}]}\n",
    "---\naction: http\nconnector: crm\nparams:\n- a=1\n- b=zwei\n---\n",
    "---\naction: a2a\nagent: books\ncard_key: 44533905f4e682e5a295899175dc9bdaf620294a1b4a176ff119bf9400093c3d\n---\nHello\n",
    "---\naction: email\nto: a@client.test\nsubject: x\n# comment\nother: |\n  block\n---\n## To Approve\n",
    "no front matter",
]
