"""The query stage: the language, its plan over SQL, counting, and the forms of output. It opens nothing itself."""
