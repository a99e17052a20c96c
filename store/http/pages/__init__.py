"""The dashboard: the same answers as pages for people, made here and whole without a script.

All state of a page is in its address. `visit` reads it, `doors` has a function for each page, `views` says which
columns its tables have, `cells` what a cell is, `render` turns it into HTML; `assets` are the few static files. What
upstream says is text and nothing else: templates escape, and no style or script stands in a page.
"""
