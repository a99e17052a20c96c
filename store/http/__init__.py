"""The store over HTTP: the questions of the command line as routes, and what serving them takes.

`app` puts it together, `gate` decides who may ask what, `cache` answers again what was answered, `asked` reads
parameters and writes answers, `routes` has a door for each question.
"""
