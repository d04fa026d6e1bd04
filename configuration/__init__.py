"""The configuration: what `cdk.json` says, as typed groups of options."""
