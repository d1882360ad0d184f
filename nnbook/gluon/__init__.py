"""The room of all that needs Apache MXNet; `nnbook.gluon.install` lets it be imported.

Import what is in here by its public names: `nnbook.runtime`, `nnbook.parameters`, `nnbook.layers`,
`nnbook.losses`, `nnbook.training`.
"""
