/* ---- resilience: breakers, retries, bounds ---- */
