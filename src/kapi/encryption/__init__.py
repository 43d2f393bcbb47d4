"""How stored values are encrypted: the configuration, and what it makes of a value.

`configuration.py` and `validation.py` read `--encryption-provider-config`; `transformers.py` holds
what is common to all that transform a value, `local_keys.py` those whose keys are in the
configuration; `kms.py` and its neighbours ask a plugin. `resources.py` joins them: the `Cipher` of
`storage/encryption.py`. Put together by `assembly/encryption.py`, and imported with the flag only.
"""
