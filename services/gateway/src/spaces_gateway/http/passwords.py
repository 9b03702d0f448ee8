"""What may be a password. The text itself stays in this process: what travels is its digest."""

from typing import Annotated

from pydantic import Field, SecretStr

from spaces_contracts.users import MAX_PASSWORD, MIN_PASSWORD, password_digest
from spaces_gateway.http.problems import BadRequest

# Those of ten characters and more that lists of leaked passwords begin with, in lower case.
_TRIED_FIRST = """
    0000000000 0123456789 0987654321 1029384756 1111111111 1122334455 1212121212 123123123123 123321123321
    1234512345 1234554321 1234567890 12345678901 1234567891 12345678910 123456789a 123456789q 12345qwert
    123654789123 1472583690 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc 2222222222 5555555555
    6666666666 7777777777 8888888888 9876543210 9999999999 a123456789 aaaaaaaaaa abcd123456 abcde12345
    abcdefghij abcdefghijklmnop admin12345 adminadmin administrator asdfasdfasdf asdfghjkl1 asdfghjkl123
    asdfghjkl; basketball bismillah1 butterfly1 changeme123 changemenow chocolate1 christopher computer123
    correcthorsebatterystaple dragon12345 elizabeth1 football12 football123 fuckyou123 hello12345 helloworld
    iloveyou!! iloveyou12 iloveyou123 iloveyou1234 letmein123 letmeinnow liverpool1 manchester manchester1
    michael123 microsoft1 mustang123 mypassword mypassword1 p@ssw0rd123 p@ssword123 pa55word123 passw0rd123
    password!! password00 password01 password1! password10 password11 password12 password123 password123!
    password1234 password12345 passwordpassword princess12 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedcrfv
    qqqqqqqqqq qwerqwerqwer qwerty1234 qwerty12345 qwerty123456 qwertyqwerty qwertyuiop qwertyuiop1
    qwertyuiop123 qwertyuiop[] sunshine12 sunshine123 superman123 temppassword test123456 testtest123
    testtesttest trustno1trustno1 welcome123 welcome1234 whatever12 whatever123 zaq12wsxcde3 zxcvbnm,./
    zxcvbnm123 zzzzzzzzzz
"""
COMMON = frozenset(_TRIED_FIRST.split())

Password = Annotated[
    SecretStr, Field(max_length=MAX_PASSWORD, json_schema_extra={"format": "password"})
]
NewPassword = Annotated[
    SecretStr,
    Field(
        min_length=MIN_PASSWORD,
        max_length=MAX_PASSWORD,
        json_schema_extra={"format": "password"},
        description=f"At least {MIN_PASSWORD} characters; none of the passwords that everybody tries first.",
    ),
]


def digest(password: SecretStr) -> str:
    """What is sent instead of a password."""
    return password_digest(password.get_secret_value())


def digest_of_new(password: SecretStr, *names: str, field: str = "password") -> str:
    """The same for one that is chosen now. Raises BadRequest for one that is tried first.

    `names` are what its owner is known by.
    """
    text = password.get_secret_value().strip().lower()
    known_by = {part for name in names for part in (name.lower(), name.lower().partition("@")[0])}
    if text in COMMON or len(set(text)) == 1:
        raise BadRequest.at(f"#/{field}", "This is one of the passwords that are tried first.")
    if text in known_by:
        raise BadRequest.at(f"#/{field}", "The password is the email or the name.")
    return digest(password)
