// Nothing: what Node itself takes to run a module.
