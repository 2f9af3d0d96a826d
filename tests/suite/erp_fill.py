"""Fills the database of a real ERP, Tryton, with one company and its accounts; prints the ids that an invoice names."""

import json
import sys

from proteus import Model
from proteus import config as client
from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, get_accounts
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences
from trytond.modules.company.tests.tools import create_company, get_company

proteus = client.set_trytond("erp", config_file=sys.argv[1])
create_company()
company = get_company()
proteus._context["company"] = company.id
year = set_fiscalyear_invoice_sequences(create_fiscalyear(company))
year.click("create_period")
create_chart(company)
accounts = get_accounts(company)
party = Model.get("party.party")(name="Client A")
party.addresses.new()
party.save()
journal, = Model.get("account.journal").find([("type", "=", "revenue")], limit=1)
term = Model.get("account.invoice.payment_term")(name="Direct")
term.lines.new(type="remainder")
term.save()
found = {
    "company": company,
    "currency": company.currency,
    "journal": journal,
    "party": party,
    "address": party.addresses[0],
    "receivable": accounts["receivable"],
    "revenue": accounts["revenue"],
    "term": term,
}
print(json.dumps({name: record.id for name, record in found.items()}))
