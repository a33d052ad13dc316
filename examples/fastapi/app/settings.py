"""What the environment says."""

import os
from dataclasses import dataclass


@dataclass
class Settings:
    # A postgresql:// URL; without one the driver's PG* variables count.
    database_url: str | None = None
    # asyncpg or sqlalchemy.
    data_layer: str = "asyncpg"
    pool_size: int = 10
    # So long a request waits for a connection, in seconds.
    pool_timeout: float = 2
    # Answers of ffs_health_status() that make /health/ready say 503.  None as it is: all
    # instances share the database, and to take them all out of service mends nothing.
    unready_when: tuple[str, ...] = ()
    # Whether a PgBouncer in transaction mode, older than 1.21, is in between.
    pgbouncer: bool = False

    @classmethod
    def from_environment(cls):
        env = os.environ
        return cls(
            database_url=env.get("DATABASE_URL"),
            data_layer=env.get("DATA_LAYER", cls.data_layer),
            pool_size=int(env.get("POOL_SIZE", cls.pool_size)),
            pool_timeout=float(env.get("POOL_TIMEOUT", cls.pool_timeout)),
            unready_when=tuple(env.get("UNREADY_WHEN", "").split()),
            pgbouncer=env.get("PGBOUNCER", "no") == "yes",
        )
