"""Text that people send and a database keeps."""

from pydantic import StringConstraints

# PostgreSQL keeps no NUL character in text.
Text = StringConstraints(pattern=r"^[^\x00]*$")
