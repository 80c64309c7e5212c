"""Stripe's own SDK judges our Stripe simulator, our webhook check, and what our rail sends.

    python judge.py http://127.0.0.1:12111

Every sentence below is a function; the closing line counts them. The simulator is the example `stripe_simulator`.
"""

import json
import sys
import time
import traceback
import urllib.request

import stripe

KEY = "sk_test_simulator"
SECRET = "whsec_simulator"
URL = sys.argv[1]

client = stripe.StripeClient(KEY, base_addresses={"api": URL}, max_network_retries=0)
transfers = client.v1.transfers


def verb(name, what=None):
    request = urllib.request.Request(f"{URL}/_simulator/{name}", json.dumps(what).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def create(key, **changes):
    params = {"amount": 500, "currency": "usd", "destination": "acct_sdk", "metadata": {"item": "item_1"}}
    return transfers.create({**params, **changes}, {"idempotency_key": key})


def raises(error, call, code=None):
    try:
        call()
    except error as refused:
        # Subclasses are other errors: a mismatch must not pass for any refusal.
        assert type(refused) is error, type(refused)
        assert code is None or refused.code == code, refused.code
        return refused
    raise AssertionError(f"{error.__name__} was expected")


def a_transfer_is_made_and_read_back():
    made = create("made", transfer_group="group_1")
    assert isinstance(made, stripe.Transfer) and made.id.startswith("tr_")
    assert (made.amount, made.currency, made.destination) == (500, "usd", "acct_sdk")
    assert (made.amount_reversed, made.reversed, made.livemode) == (0, False, False)
    assert made.metadata["item"] == "item_1" and made.transfer_group == "group_1"
    read = transfers.retrieve(made.id)
    assert read.to_dict() == made.to_dict()
    assert made.last_response.headers["request-id"]


def transfers_are_listed_by_group_newest_first_and_paged():
    made = [create(f"listed-{n}", transfer_group="group_2").id for n in range(5)]
    listed = transfers.list({"transfer_group": "group_2", "limit": 2})
    assert listed.has_more and [one.id for one in listed.data] == made[:2:-1]
    assert [one.id for one in listed.auto_paging_iter()] == made[::-1]
    # Forward, page by page, as our rail walks.
    newer = transfers.list({"transfer_group": "group_2", "limit": 2, "ending_before": made[0]})
    assert newer.has_more and [one.id for one in newer.data] == [made[2], made[1]]
    newer = transfers.list({"transfer_group": "group_2", "limit": 2, "ending_before": made[0]})
    assert [one.id for one in newer.auto_paging_iter()] == made[1:]
    since = transfers.retrieve(made[3]).created
    recent = transfers.list({"transfer_group": "group_2", "created": {"gte": since}})
    assert [one.id for one in recent.data] == made[:2:-1]
    assert transfers.list({"transfer_group": "group_none"}).data == []


def a_transfer_is_reversed_in_part_and_whole():
    made = create("reversed")
    reversal = transfers.reversals.create(made.id, {"amount": 200})
    assert type(reversal) is not stripe.StripeObject, "the SDK knows what it is"
    assert reversal.object == "transfer_reversal" and reversal.transfer == made.id
    part = transfers.retrieve(made.id)
    assert (part.amount_reversed, part.reversed) == (200, False)
    assert part.reversals.data[0].id == reversal.id
    transfers.reversals.create(made.id)
    whole = transfers.retrieve(made.id)
    assert (whole.amount_reversed, whole.reversed) == (500, True)
    raises(stripe.InvalidRequestError, lambda: transfers.reversals.create(made.id))


def the_same_key_gives_the_same_answer():
    first, again = create("same"), create("same")
    assert first.id == again.id and first.to_dict() == again.to_dict()
    assert "idempotent-replayed" not in first.last_response.headers
    assert again.last_response.headers["idempotent-replayed"] == "true"


def the_same_key_with_another_body_is_an_idempotency_error():
    create("other")
    raises(stripe.IdempotencyError, lambda: create("other", amount=501))


def a_refusal_is_kept_under_its_key():
    verb("account", {"id": "acct_later", "transfers": "inactive"})
    refused = lambda: create("kept", destination="acct_later")
    raises(stripe.InvalidRequestError, refused, "insufficient_capabilities_for_transfer")
    verb("account", {"id": "acct_later", "transfers": "active"})
    raises(stripe.InvalidRequestError, refused, "insufficient_capabilities_for_transfer")
    assert create("kept-2", destination="acct_later").amount == 500


def what_is_refused_before_it_is_carried_out_is_not_kept():
    raises(stripe.InvalidRequestError, lambda: create("mended", amount="x"), "parameter_invalid_integer")
    raises(stripe.InvalidRequestError, lambda: create("mended", amuont=1), "parameter_unknown")
    assert create("mended").amount == 500
    raises(stripe.InvalidRequestError, lambda: create("nobody", destination="acct_nobody"), "resource_missing")


def errors_are_of_their_classes():
    for fault, error, code in [
        ("rate_limit", stripe.RateLimitError, None),
        ("unauthorized", stripe.AuthenticationError, None),
        ("lock_timeout", stripe.APIError, None),
        ("error_instead", stripe.APIError, None),
    ]:
        verb("faults", [fault])
        raises(error, lambda: create(f"fault-{fault}"), code)
    # Those before the idempotency layer left nothing behind; a 500 did.
    for fault in ["rate_limit", "unauthorized", "lock_timeout"]:
        assert create(f"fault-{fault}").amount == 500
    refused = raises(stripe.APIError, lambda: create("fault-error_instead"))
    assert refused.http_status == 500 and refused.headers["stripe-should-retry"] == "false"
    stranger = stripe.StripeClient("sk_test_other", base_addresses={"api": URL})
    raises(stripe.AuthenticationError, lambda: stranger.v1.transfers.list())


def an_account_says_whether_it_takes_transfers():
    account = client.v1.accounts.retrieve("acct_sdk")
    assert isinstance(account, stripe.Account) and account.capabilities.transfers == "active"
    raises(stripe.PermissionError, lambda: client.v1.accounts.retrieve("acct_nobody"))


def webhooks_of_the_simulator_are_accepted():
    create("told")
    now = int(time.time())
    for event in verb("events"):
        body = json.dumps(event)
        header = verb("sign", {"body": body, "secrets": ["whsec_old", SECRET], "at": now})
        read = stripe.Webhook.construct_event(body, header, SECRET)
        assert isinstance(read, stripe.Event) and read.id == event["id"] and read.type == event["type"]
        refused = stripe.SignatureVerificationError
        raises(refused, lambda: stripe.Webhook.construct_event(body + " ", header, SECRET))
        raises(refused, lambda: stripe.Webhook.construct_event(body, header, "whsec_other"))
        old = verb("sign", {"body": body, "secrets": [SECRET], "at": now - 301})
        raises(refused, lambda: stripe.Webhook.construct_event(body, old, SECRET))


def our_check_agrees_with_that_of_the_sdk():
    now = int(time.time())
    # What our rail hears of payments needs what our rail writes on them.
    paid = verb("pay", {"n": 900, "amount": 500, "currency": "USD", "account": "acct_sdk"})
    event = [one for one in verb("events") if one["type"] == "transfer.created"][-1]
    assert event["data"]["object"]["metadata"]["wire_ref"] == paid["wireRef"]
    body = json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header
    good = header(body, SECRET, now)
    first, rolled = good, f"{header(body, 'whsec_new', now)},{good.split(',')[1]}"
    cases = [
        (first, body, [SECRET], now),
        (rolled, body, [SECRET], now),
        (first, body, ["whsec_new", SECRET], now),
        (first, body + " ", [SECRET], now),
        (first, body.replace("500", "501"), [SECRET], now),
        (first, body, ["whsec_new"], now),
        (first.replace("v1=", "v0="), body, [SECRET], now),
        (first.split(",")[1], body, [SECRET], now),
        ("", body, [SECRET], now),
        (header(body, SECRET, now - 299), body, [SECRET], now),
        (header(body, SECRET, now - 400), body, [SECRET], now),
        (header("{}", SECRET, now), "{}", [SECRET], now),
    ]
    believed = 0
    for signature, sent, secrets, at in cases:
        theirs = any(accepts(sent, signature, secret) for secret in secrets)
        ours = verb("hear", {"signature": signature, "body": sent, "secrets": secrets, "at": at})
        assert ("forged" not in ours) == theirs, (signature, ours)
        believed += theirs
    assert 0 < believed < len(cases)
    heard = verb("hear", {"signature": good, "body": body, "secrets": [SECRET], "at": now})
    assert heard == {"heard": ["settled"]}, heard


def accepts(body, header, secret):
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret, 300))
    except stripe.SignatureVerificationError:
        return False


def our_rail_sends_what_the_sdk_sends():
    for n, (amount, currency, number) in enumerate([(1050, "USD", 1050), (500, "JPY", 500), (5, "UGX", 500)]):
        ours = verb("pay", {"n": 1000 + n, "amount": amount, "currency": currency, "account": "acct_sdk"})
        assert ours["outcome"].startswith("Accepted"), ours
        sent = verb("requests")[-1]
        key = ours["instruction"]
        theirs = transfers.create(
            {
                "amount": number,
                "currency": currency.lower(),
                "destination": "acct_sdk",
                "transfer_group": key,
                "metadata": {"instruction": key, "wire_ref": ours["wireRef"], "item": ours["item"]},
            },
            {"idempotency_key": key},
        )
        # The strictest judge is idempotency: a form that differs anywhere would be another request.
        assert theirs.last_response.headers["idempotent-replayed"] == "true"
        expected = verb("requests")[-1]
        for field in ["method", "path", "query", "form"]:
            assert sent[field] == expected[field], (field, sent[field], expected[field])
        for name in ["authorization", "idempotency-key", "stripe-version", "content-type"]:
            assert sent["headers"][name] == expected["headers"][name], name
        # Nobody but Stripe needs to know more of us.
        known = {"authorization", "content-length", "content-type", "host", "idempotency-key", "stripe-version", "user-agent"}
        assert set(sent["headers"]) == known, sent["headers"]


SENTENCES = [
    a_transfer_is_made_and_read_back,
    transfers_are_listed_by_group_newest_first_and_paged,
    a_transfer_is_reversed_in_part_and_whole,
    the_same_key_gives_the_same_answer,
    the_same_key_with_another_body_is_an_idempotency_error,
    a_refusal_is_kept_under_its_key,
    what_is_refused_before_it_is_carried_out_is_not_kept,
    errors_are_of_their_classes,
    an_account_says_whether_it_takes_transfers,
    webhooks_of_the_simulator_are_accepted,
    our_check_agrees_with_that_of_the_sdk,
    our_rail_sends_what_the_sdk_sends,
]


def main():
    verb("account", {"id": "acct_sdk", "transfers": "active"})
    failed = 0
    for sentence in SENTENCES:
        try:
            sentence()
            print(f"ok      {sentence.__name__}")
        except Exception:
            failed += 1
            print(f"FAILED  {sentence.__name__}")
            traceback.print_exc(file=sys.stdout)
    print(f"{len(SENTENCES) - failed} passed, {failed} failed, by stripe {stripe.VERSION}, API {stripe.api_version}")
    sys.exit(1 if failed else 0)


main()
