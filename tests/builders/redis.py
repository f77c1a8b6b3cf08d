"""Redis for the unit tests: in memory, away when told to, and with the two scripts of redis-py's
Lock in Python.
"""

import functools

import fakeredis


def away() -> fakeredis.FakeRedis:
    """Make a client whose server does not answer."""
    server = fakeredis.FakeServer()
    server.connected = False
    return fakeredis.FakeRedis(server=server)


class Scripted(fakeredis.FakeRedis):
    """fakeredis runs Lua only with another package: here are the scripts of `redis.lock.Lock`, as
    Python.
    """

    def register_script(self, script):
        """Return a function in place of the script."""

        def run(keys, args, client):
            if client.get(keys[0]) != args[0]:
                return 0
            if "'del'" in script:
                client.delete(keys[0])
            else:
                client.pexpire(keys[0], int(args[1]))
            return 1

        return functools.partial(
            run
        )  # not a function: it is kept on a class, and must not become a method
