/* ffstorage 1.0: joined from src/ by make; edit there. */
-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION ffstorage" to load this file. \quit

CREATE SCHEMA ffstorage;
COMMENT ON SCHEMA ffstorage IS 'the inside of the extension ffstorage: its catalog and what triggers and policies call';
GRANT USAGE ON SCHEMA ffstorage TO PUBLIC;
