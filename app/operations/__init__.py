"""What operators run: the doctor, imports, migrations, and `up` with its demo."""
