"""`tokentape config`: the configuration as a whole."""

import click


@click.group()
def config() -> None:
    """The configuration itself.

    \b
    Examples:
      tokentape config schema > tokentape.schema.json
    """


@config.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors.

    An editor that speaks YAML then completes keys and marks mistakes, where the file begins with

    \b
      # yaml-language-server: $schema=tokentape.schema.json

    \b
    Examples:
      tokentape config schema > tokentape.schema.json
    """
    import json

    from collector.config_schema import config_schema
    from store.show import print_lines

    print_lines([json.dumps(config_schema(), indent=2)])
