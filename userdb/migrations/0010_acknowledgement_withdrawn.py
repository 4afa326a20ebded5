"""An acknowledgement can be withdrawn, and stays on record."""

from django.db import migrations, models

import userdb.fields


class Migration(migrations.Migration):
    dependencies = [("userdb", "0009_one_state_of_what_is_open")]
    operations = [
        migrations.AddField(
            model_name="acknowledgement",
            name="withdrawn_at",
            field=models.DateTimeField(editable=False, help_text="From then on repeats go on.", null=True),
        ),
        migrations.AddField(
            model_name="acknowledgement",
            name="withdrawn_by",
            field=userdb.fields.KeyField(db_default="", default="", editable=False, max_length=150),
        ),
    ]
