"""
The authors' released weights -> a model on disk that is the published network exactly.

Every file is read as data: nothing in it is ever executed. See ``importer.import_release``.
"""
