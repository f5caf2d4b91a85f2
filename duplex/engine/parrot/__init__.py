"""A stand-in llama-server process: `python -m duplex.engine.parrot`.

It speaks the v1 contract (argv, HTTP, SSE, files, mutex, signals) and answers with the user's own words instead of a
model's. Nothing here is imported by the server: the two meet over HTTP and files, as with the real engine.

    __main__   argv to a running process, signals        engine   the one mutex, the calls of /v1/stream
    options    argv                                      octx     the state that the engine's threads share
    faults     switches that tests turn                  llm      evaluates what was heard, decodes groups of text
    http       sockets, three request threads            mind     what to answer, and when
    routes     paths to calls                            tts      groups of text to audio tokens
    wire       JSON bodies, errors, SSE events           t2w      audio tokens to WAV files
    log        the lines a supervisor reads              hearing  WAV files in, utterances out
                                                         voice    the sound of an answer
"""
