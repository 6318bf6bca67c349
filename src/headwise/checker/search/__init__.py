"""The search for what explains the outputs of a function: conventions, designs and mistakes."""
