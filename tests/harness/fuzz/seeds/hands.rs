[
    "[crm]\ncarries = \"http\"\nmethod = \"PUT\"\nhost = \"crm.example\"\npath = \"/n/{param.id}/end\"\nquery = { q = \"{param.q}\", v = \"2\" }\nform = { t = \"${secret:crm}\" }\n\0../a?b#c\0@evil.test/%2f\r\nHost: x",
    "[bank]\ncarries = \"payment\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = 8080\npath = \"/v1/{account}\"\nheaders = { Authorization = \"Bearer ${secret:bank}\" }\njson = { to = \"{payee}\", n = \"{amount_minor:integer}\", c = [\"{currency}\", 1, true], r = { x = \"{reference}\" } }\nidempotency_header = \"Key\"\n[bank.ask]\npath = \"/by/{idempotency_key}\"\nfield = \"/s\"\nis = [\"done\"]\n\0A\0DE00 1\0x\0EUR",
    "[social]\ncarries = \"post\"\nmethod = \"POST\"\nhost = \"[2001:db8::7]\"\npath = \"/s\"\nform = { s = \"{text}\" }\nomit = [\"network\"]\nper_hour = 3\n[social.read_back]\npath = \"/me\"\nquery = { limit = \"40\", at = \"{approved_at}\" }\ntext = \"/text\"\n",
    "[a]\ncarries = \"http\"\nmethod = \"GET\"\nhost = \"localhost\"\nscheme = \"http\"\npath = \"/{param.a:integer}\"\n[b]\ncarries = \"http\"\nmethod = \"GET\"\nhost = \"192.0.2.7\"\npath = \"/\"\ndry_run = true\n\x007\x00-1",
]
