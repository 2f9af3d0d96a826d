[
    "From: Client A <a@client.test>\r\nTo: me@mine.test\r\nCc: \"B, C\" <b@client.test>, c@client.test\r\nReply-To: d@client.test\r\nSubject: =?utf-8?B?SGVsbG8=?= =?iso-8859-1?Q?=E9?=\r\nDate: Wed, 7 Jan 2026 10:30:00 +0100\r\nMessage-ID: <1@client.test>\r\nIn-Reply-To: <0@client.test>\r\nReferences: <x@y.test> <0@client.test>\r\n\r\nHello\r\n---\r\naction: email\r\n",
    "From: a@client.test\nSubject: parts\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nH=C3=A9llo=\n there\n--c\nContent-Type: text/html\n\n<p>Hello <b>x</b><script>1</script><br>&amp;&#x202e;</p>\n--c--\n--b\nContent-Type: application/pdf; name*=utf-8''r%C3%A9.pdf\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\n\ncmVwb3J0\n--b--\n",
    "List-Id: <l.test>\nAuto-Submitted: auto-generated\nFrom: l@l.test\nContent-Type: message/rfc822\n\nFrom: b@b.test\nSubject: inner\n\nx\n",
    "Subject: <% tp.x %> {{x}}\u{200b}[[link]]\nFrom: x\n\n```dataview\n> quote\n%%c%% #tag\n",
]
