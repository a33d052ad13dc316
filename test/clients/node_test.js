// node-postgres against managed tables.  Speaks TAP; the server is that of PG*.
'use strict'

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const pg = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')

const SCHEMA = 'client_node'
const TENANT_A = '11111111-1111-4111-8111-111111111111'
const TENANT_B = '22222222-2222-4222-8222-222222222222'
const NOON = new Date('2026-11-01T12:00:00Z')

let count = 0
let failed = 0

// A case fails when its function throws.
async function test(name, run) {
  count++
  try {
    await run()
    console.log(`ok ${count} - ${name}`)
  } catch (error) {
    failed++
    console.log(`not ok ${count} - ${name}`)
    for (const line of String(error.stack).split('\n')) console.log(`# ${line}`)
  }
}

async function throws(code, run) {
  let caught
  try {
    await run()
  } catch (error) {
    caught = error
  }
  assert.ok(caught, `no error, expected ${code}`)
  assert.strictEqual(caught.code, code, caught.message)
  return caught
}

const equal = assert.deepStrictEqual

async function connect(user) {
  const client = new pg.Client({ user, options: `-c search_path=${SCHEMA},public` })
  await client.connect()
  return client
}

// A transaction, of a tenant where one is given.
async function working(db, tenant, run) {
  await db.query('BEGIN')
  try {
    if (tenant) await db.query('SELECT ffs_set_tenant($1)', [tenant])
    const result = await run()
    await db.query('COMMIT')
    return result
  } catch (error) {
    await db.query('ROLLBACK')
    throw error
  }
}

async function savepoint(db, run) {
  await db.query('SAVEPOINT s')
  try {
    await run()
    await db.query('RELEASE s')
  } catch (error) {
    await db.query('ROLLBACK TO s')
    throw error
  }
}

// The same cases on each table.
class Sweep {
  constructor(db, admin, shape) {
    Object.assign(this, { db, admin, shape, table: shape.name, used: 1000 })
    this.versions = shape.strategy === 'scd2'
    this.types = shape.key_type.split(',')
    // Key columns that an INSERT has to give.
    this.given = shape.generated ? [] : shape.key.filter((column) => column !== 'tenant_id')
    this.tenant = shape.tenant ? TENANT_A : null
  }

  // Values for the columns of this.given, not used yet.
  keys() {
    this.used++
    return [this.used, 1].slice(0, this.given.length)
  }

  // INSERT of as many rows as there are, as one statement.
  insert(columns, rows, tail = '') {
    const names = [...this.given, ...columns]
    const values = []
    const lists = rows.map((row) => {
      const all = row.length === names.length ? row : [...this.keys(), ...row]
      return '(' + all.map((value) => '$' + values.push(value)).join(', ') + ')'
    })
    return this.db.query(`INSERT INTO ${this.table} (${names}) VALUES ${lists} ${tail}`, values)
  }

  keyOf(row) {
    return this.shape.key.map((column) => row[column])
  }

  jsonbKey(row) {
    return JSON.stringify(Object.fromEntries(this.shape.key.map((column) => [column, row[column]])))
  }

  // The key as typed parameters of a function.
  holes(first = 1) {
    return this.types.map((type, n) => `$${first + n}::${type}`).join(', ')
  }

  test(name, run) {
    return test(`${this.table}: ${name}`, run)
  }

  tx(run) {
    return working(this.db, this.tenant, run)
  }

  async one(code) {
    return (await this.db.query(`SELECT * FROM ${this.table} WHERE code = $1`, [code])).rows[0]
  }

  async run() {
    await this.rows()
    await this.upserts()
    await this.functions()
    await this.deletes()
    await this.test('laws', async () => {
      equal((await this.admin.query(`SELECT laws('${this.table}')`)).rows, [])
    })
  }

  async rows() {
    const { db, table } = this
    await this.test('INSERT … RETURNING: key, stamps, generated column', async () => {
      const result = await this.tx(() => this.insert(['title', 'amount', 'code', 'tags', 'data', 'due'],
        [['first', 12.5, 'c1', ['x', null], { a: 1 }, NOON]], 'RETURNING *'))
      const row = result.rows[0]
      equal([result.command, result.rowCount], ['INSERT', 1])
      equal([row.title, row.twice, row.tags, row.data, row.due.getTime()],
        ['first', '25.00', ['x', null], { a: 1 }, NOON.getTime()])
      equal([row.created_by, row.updated_by, row.created_at], ['clients_app', 'clients_app', row.updated_at])
      assert.ok(this.keyOf(row).every((value) => value !== null))
      if (this.tenant) equal(row.tenant_id, TENANT_A)
      if (this.versions) equal(row.version, 1)
    })
    await this.test('stamps that a statement supplies are ignored', async () => {
      const { rows } = await this.tx(() => this.insert(['title', 'code', 'created_by', 'created_at'],
        [['second', 'c2', 'mallory', NOON]], 'RETURNING *'))
      equal(rows[0].created_by, 'clients_app')
      assert.notStrictEqual(rows[0].created_at.getTime(), NOON.getTime())
    })
    await this.test('many rows in one INSERT', async () => {
      const rows = [...Array(50).keys()].map((n) => [`many ${n}`, `m${n}`])
      const result = await this.tx(() => this.insert(['title', 'code'], rows, 'RETURNING code'))
      equal([result.rowCount, result.rows.map((row) => row.code)], [50, rows.map((row) => row[1])])
    })
    await this.test('statements queued on one connection', async () => {
      const results = await this.tx(() => Promise.all([...Array(20).keys(), 'nobody'].map((n) =>
        db.query(`UPDATE ${table} SET amount = amount + 1 WHERE code = $1 RETURNING twice`, [`m${n}`]))))
      equal(results.map((result) => result.rowCount), [...Array(20).fill(1), 0])
      equal(results[3].rows, [{ twice: '4.00' }])
    })
    await this.test('UPDATE: row count, RETURNING; one that changes nothing', async () => {
      const result = await this.tx(() =>
        db.query(`UPDATE ${table} SET amount = amount + $1 WHERE code = 'c1' RETURNING *`, [1]))
      equal([result.rowCount, result.rows[0].amount, result.rows[0].twice], [1, '13.50', '27.00'])
      if (this.versions) equal(result.rows[0].version, 2)
      await this.tx(async () => {
        const before = await this.one('c1')
        equal((await db.query(`UPDATE ${table} SET amount = amount WHERE code = 'c1'`)).rowCount, 1)
        equal(await this.one('c1'), before)
        equal((await db.query(`UPDATE ${table} SET amount = 0 WHERE code = 'nobody'`)).rowCount, 0)
      })
    })
    await this.test('rollback to a savepoint', async () => {
      let before
      await this.tx(async () => {
        before = await this.one('c1')
        await savepoint(db, async () => {
          await db.query(`UPDATE ${table} SET title = 'gone' WHERE code = 'c1'`)
          throw new Error('on purpose')
        }).catch((error) => equal(error.message, 'on purpose'))
        equal(await this.one('c1'), before)
        await savepoint(db, () => db.query(`UPDATE ${table} SET title = 'kept' WHERE code = 'c1'`))
      })
      const row = await this.tx(() => this.one('c1'))
      equal(row.title, 'kept')
      if (this.versions) equal(row.version, before.version + 1)
    })
  }

  async upserts() {
    const { db, table } = this
    const arbiter = this.shape.arbiter
    const extra = arbiter[0] === 'id' ? ['id'] : []
    const key = [...this.keys(), ...(extra.length ? [crypto.randomUUID()] : [])]
    const columns = [...extra, 'title', 'code']
    const update = `ON CONFLICT (${arbiter}) DO UPDATE SET title = excluded.title,
      amount = ${table}.amount + 1 RETURNING *`
    await this.test('ON CONFLICT DO UPDATE … RETURNING, DO NOTHING', async () => {
      const first = (await this.tx(() => this.insert(columns, [[...key, 'up 1', 'u1']], update))).rows[0]
      const second = await this.tx(() => this.insert(columns, [[...key, 'up 2', 'u1']], update))
      const row = second.rows[0]
      equal([second.rowCount, row.title, row.amount, row.twice], [1, 'up 2', '2.00', '4.00'])
      equal(this.keyOf(row), this.keyOf(first))
      if (this.versions) equal([first.version, row.version], [1, 2])
      const none = await this.tx(() => this.insert(columns, [[...key, 'up 3', 'u1']],
        `ON CONFLICT (${arbiter}) DO NOTHING`))
      equal(none.rowCount, 0)
    })
    await this.test('MERGE', async () => {
      const names = [...this.given, 'title', 'code']
      const casts = [...['::bigint', '::integer'].slice(0, this.given.length), '::text', '::text']
      const on = this.given.map((c) => `t.${c} = s.${c}`).join(' AND ') || 't.code = s.code'
      const merge = `MERGE INTO ${table} t USING (VALUES (${casts.map((cast, n) => `$${n + 1}${cast}`)}))
        AS s (${names}) ON ${on} WHEN MATCHED THEN UPDATE SET title = s.title
        WHEN NOT MATCHED THEN INSERT (${names}) VALUES (${names.map((name) => `s.${name}`)})`
      await this.tx(async () => {
        const given = key.slice(0, this.given.length)
        const matched = await db.query(merge, [...given, 'merged', 'u1'])
        const made = await db.query(merge, [...this.keys(), 'merged', 'u2'])
        equal([matched.command, matched.rowCount, made.rowCount], ['MERGE', 1, 1])
        equal([(await this.one('u1')).title, (await this.one('u2')).title], ['merged', 'merged'])
      })
    })
  }

  async functions() {
    const { db, table, shape } = this
    const data = (code, more = {}) =>
      ({ ...Object.fromEntries(this.keys().map((value, n) => [this.given[n], value])), title: 'made', code, ...more })
    await this.test('ffs_create_many, jsonb parameter', async () => {
      const rows = [...[...Array(30).keys()].map((n) => data(`j${n}`)), data('bad', { amount: 'much' })]
      const { rows: found } = await this.tx(() =>
        db.query(`SELECT * FROM ffs_create_many($1, $2, on_error => 'report')`, [table, JSON.stringify(rows)]))
      equal(found.map((row) => row.row_number), rows.map((_, n) => n + 1))
      equal(new Set(found.slice(0, 30).map((row) => row.action)), new Set(['inserted']))
      equal([found[30].action, found[30].sqlstate], ['rejected', '22P02'])
      equal(Object.keys(found[0].key).sort(), [...shape.key].sort())
    })
    await this.test('ffs_create_records, an array of row literals', async () => {
      const { rows: [{ columns }] } = await db.query(`SELECT array_agg(attname::text ORDER BY attnum) AS columns
        FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`, [table])
      const quote = (value) => value === undefined ? '' : `"${String(value).replace(/["\\]/g, '$&$&')}"`
      const literal = (values) => `(${columns.map((column) => quote(values[column]))})`
      const rows = [...[...Array(30).keys()].map((n) => ({ ...data(`r${n}`), title: 'say "x", y\\z' })),
        { ...data('bad'), title: undefined }]
      await this.tx(async () => {
        const { rows: found } = await db.query(
          `SELECT * FROM ffs_create_records($1::${table}[], on_error => 'report')`, [rows.map(literal)])
        equal(found.slice(0, 30).map((r) => r.action), Array(30).fill('inserted'))
        equal([found[30].row_number, found[30].sqlstate], [31, '23502'])
        equal((await this.one('r7')).title, 'say "x", y\\z')
      })
    })
    let row
    await this.test('ffs_create, ffs_get: typed, untyped, jsonb', async () => {
      await this.tx(async () => {
        const made = await db.query('SELECT ffs_create($1, $2) AS made', [table, JSON.stringify(data('g1'))])
        equal(made.rows[0].made.title, 'made')
        row = await this.one('g1')
        const get = (holes, values) => db.query(`SELECT * FROM ffs_get(NULL::${table}, ${holes})`, values)
        equal((await get(this.holes(), this.keyOf(row))).rows, [row])
        equal((await get('$1::jsonb', [this.jsonbKey(row)])).rows, [row])
        if (shape.key.length === 1) {
          equal((await get('$1', this.keyOf(row))).rows, [row])
        } else {
          // Nothing says which types they are.
          await throws('42P18', () => savepoint(db, () =>
            get(shape.key.map((_, n) => `$${n + 1}`).join(', '), this.keyOf(row))))
        }
      })
    })
    await this.test('ffs_get_many, in the order of the keys', async () => {
      await this.tx(async () => {
        const { rows } = await db.query(`SELECT * FROM ${table} WHERE code LIKE 'j%' ORDER BY code DESC LIMIT 5`)
        const many = (type, keys) => db.query(`SELECT * FROM ffs_get_many(NULL::${table}, $1::${type}[])`, [keys])
        equal((await many('jsonb', rows.map((r) => this.jsonbKey(r)))).rows, rows)
        if (shape.key.length === 1) {
          equal((await many(shape.key_type, rows.map((r) => r.id))).rows, rows)
          equal((await many('text', rows.map((r) => String(r.id)))).rows, rows)
        }
      })
    })
    await this.test('ffs_update_many, ffs_delete_many, ffs_restore_many', async () => {
      const many = (name, rows) => this.tx(async () => (await db.query(
        `SELECT * FROM ${name}($1, $2, on_error => 'report')`, [table, JSON.stringify(rows)])).rows)
      const said = (rows) => rows.map((r) => r.sqlstate || r.action)
      const keys = (await many('ffs_create_many', [0, 1, 2].map((n) => data(`x${n}`)))).map((r) => r.key)
      keys.push({ ...keys[0], [shape.key[shape.key.length - 1]]: this.types.includes('uuid') && shape.key.length === 1
        ? crypto.randomUUID() : 987654 })
      const patches = keys.map((key, n) => ({ ...key, amount: n }))
      equal(said(await many('ffs_update_many', patches)), ['updated', 'updated', 'updated', 'ZF011'])
      equal((await this.tx(() => this.one('x2'))).twice, '4.00')
      equal(said(await many('ffs_delete_many', keys)), ['deleted', 'deleted', 'deleted', 'skipped'])
      if (shape.soft_delete) {
        equal(said(await many('ffs_restore_many', keys)), ['restored', 'restored', 'restored', 'skipped'])
      }
    })
    await this.test('ffs_list, ffs_count', async () => {
      await this.tx(async () => {
        const filter = { code: { in: ['j1', 'j2', 'nobody'] } }
        const { rows } = await db.query(`SELECT * FROM ffs_list(NULL::${table}, $1, $2, $3)`, [filter, 'code desc', 5])
        equal(rows.map((r) => r.code), ['j2', 'j1'])
        equal((await db.query('SELECT ffs_count($1, $2) AS n', [table, filter])).rows, [{ n: '2' }])
      })
    })
    await this.test('ffs_update, and its expected_version', async () => {
      const patch = JSON.stringify({ ...JSON.parse(this.jsonbKey(row)), amount: 7 })
      if (this.versions) {
        const error = await throws('ZF010', () => this.tx(() =>
          db.query('SELECT ffs_update($1, $2, $3)', [table, patch, 9])))
        assert.match(error.detail, /1/)
        assert.ok(error.hint)
      }
      const { rows } = await this.tx(() =>
        db.query('SELECT ffs_update($1, $2, $3) AS now', [table, patch, this.versions ? 1 : null]))
      equal([rows[0].now.amount, rows[0].now.twice, rows[0].now.version], [7, 14, this.versions ? 2 : undefined])
    })
    await this.test('ffs_delete, ffs_restore', async () => {
      const key = this.keyOf(row)
      const remove = () => db.query(`SELECT ffs_delete($1, ${this.holes(2)}) AS done`, [table, ...key])
      const restore = () => db.query(`SELECT ffs_restore($1, $2::jsonb) AS done`, [table, this.jsonbKey(row)])
      await this.tx(async () => {
        equal((await remove()).rows[0].done, true)
        equal((await remove()).rows[0].done, false)
      })
      if (shape.soft_delete) {
        await this.tx(async () => {
          equal((await restore()).rows[0].done, true)
          equal((await this.one('g1')).amount, '7.00')
        })
      } else {
        await throws('55000', () => this.tx(restore))
      }
    })
  }

  async deletes() {
    const { db, table } = this
    await this.test('DELETE: row count, RETURNING', async () => {
      const result = await this.tx(() => db.query(`DELETE FROM ${table} WHERE code LIKE 'm%' RETURNING code`))
      equal([result.command, result.rowCount, result.rows.length], ['DELETE', 50, 50])
    })
    await this.test('a cursor and a stream', async () => {
      await this.tx(async () => {
        const cursor = db.query(new Cursor(`SELECT code FROM ${table} WHERE code LIKE 'j%'`))
        let seen = 0
        for (let rows = await cursor.read(7); rows.length; rows = await cursor.read(7)) seen += rows.length
        await cursor.close()
        equal(seen, 30)
        seen = 0
        for await (const row of db.query(new QueryStream(`SELECT code FROM ${table} WHERE code LIKE $1`, ['j%']))) {
          assert.match(row.code, /^j/)
          seen++
        }
        equal(seen, 30)
      })
    })
  }
}

async function errors(db) {
  await test('class ZF is in error.code, with detail and hint', async () => {
    const error = await throws('ZF001', () => db.query(`INSERT INTO notes_scd2_t (title) VALUES ('x')`))
    assert.ok(error instanceof pg.DatabaseError)
    assert.match(error.hint, /ffs_set_tenant/)
  })
  await test('ZF002, ZF003, ZF020, ZF021', async () => {
    await throws('ZF002', () => working(db, TENANT_A, () =>
      db.query(`INSERT INTO notes_scd2_t (title, tenant_id) VALUES ('x', $1)`, [TENANT_B])))
    await throws('ZF003', () => working(db, TENANT_A, () => db.query('SELECT ffs_set_tenant($1)', [TENANT_B])))
    await throws('ZF020', () => db.query(`SELECT ffs_create_many('shapes', '[]')`))
    await throws('ZF021', () => db.query('SELECT * FROM ffs_get(NULL::lines_scd2, $1)', ['1']))
  })
  await test(`PostgreSQL's own stay what they were`, async () => {
    equal((await throws('23502', () => db.query('INSERT INTO notes_scd2 (title) VALUES (NULL)'))).column, 'title')
    equal((await throws('23505', () => db.query(`INSERT INTO notes_scd2 (title, code) VALUES ('x', 'c1')`))).table,
      'notes_scd2')
  })
}

async function prepared(db) {
  await test('named statements serve tenant after tenant, generic plans too', async () => {
    for (const [tenant, titles] of [[TENANT_A, ['theirs 1']], [TENANT_B, ['theirs 1', 'theirs 2']]]) {
      await working(db, tenant, async () => {
        for (const title of titles) await db.query('INSERT INTO notes_scd2_t (title) VALUES ($1)', [title])
      })
    }
    const read = { name: 'read', text: 'SELECT tenant_id FROM notes_scd2_t WHERE title LIKE $1', values: ['theirs%'] }
    const write = { name: 'write', values: ['theirs%'],
      text: 'UPDATE notes_scd2_t SET due = now() WHERE title LIKE $1 RETURNING tenant_id' }
    for (const mode of ['auto', 'force_generic_plan']) {
      await db.query(`SET plan_cache_mode = ${mode}`)
      for (let turn = 0; turn < 8; turn++) {
        for (const [tenant, rows] of [[TENANT_A, 1], [TENANT_B, 2], [null, 0]]) {
          await working(db, tenant, async () => {
            equal((await db.query(read)).rows, Array(rows).fill({ tenant_id: tenant }))
            if (tenant) equal((await db.query(write)).rows, Array(rows).fill({ tenant_id: tenant }))
          })
        }
      }
    }
    await db.query('RESET plan_cache_mode')
  })
  await test(`a pool's connections carry no tenant over`, async () => {
    const pool = new pg.Pool({ user: 'clients_app', max: 1, options: `-c search_path=${SCHEMA},public` })
    const one = await pool.connect()
    await working(one, TENANT_B, async () =>
      equal((await one.query('SELECT count(*)::integer AS n FROM notes_scd2_t')).rows[0].n, 2))
    one.release()
    equal((await pool.query('SELECT ffs_tenant() AS t, count(*)::integer AS n FROM notes_scd2_t')).rows,
      [{ t: null, n: 0 }])
    await pool.end()
  })
}

async function caches(db) {
  const owner = await connect('clients_owner')
  await owner.query('CREATE TABLE late (id integer PRIMARY KEY, title text); GRANT ALL ON late TO clients_app')
  await db.query(`INSERT INTO late VALUES (1, 'x')`)
  await test(`ffs_manage under a named SELECT *: PostgreSQL's 0A000; unnamed ones go on`, async () => {
    const named = { name: 'late', text: 'SELECT * FROM late' }
    equal(Object.keys((await db.query(named)).rows[0]), ['id', 'title'])
    await owner.query(`SELECT ffs_manage('late', 'scd2')`)
    assert.match((await throws('0A000', () => db.query(named))).message, /cached plan must not change result type/)
    equal((await db.query('SELECT * FROM late')).rows[0].version, 1)
  })
  await test('… named columns, and writes, go on', async () => {
    const write = (title) => db.query({ name: 'late write', values: [title],
      text: 'UPDATE late SET title = $1 WHERE id = 1 RETURNING id, title' })
    for (const word of ['none', 'copy_on_change']) {
      await owner.query(`SELECT ffs_manage('late', $1)`, [word])
      equal((await write(word)).rows, [{ id: 1, title: word }])
    }
  })
  await owner.end()
}

async function cancels(db, admin) {
  await test('a cancelled UPDATE leaves nothing, and the connection goes on', async () => {
    const total = async () => (await admin.query('SELECT count(*) FROM notes_scd2_history')).rows
    const before = await total()
    const { rows: [{ pid }] } = await db.query('SELECT pg_backend_pid() AS pid')
    const timer = setTimeout(() => admin.query('SELECT pg_cancel_backend($1)', [pid]), 300)
    await throws('57014', () =>
      db.query('UPDATE notes_scd2 SET amount = amount + 1 WHERE pg_sleep(0.1) IS NOT NULL'))
    clearTimeout(timer)
    equal((await db.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    equal(await total(), before)
  })
}

async function main() {
  const admin = await connect('postgres')
  await admin.query(`CREATE SCHEMA ${SCHEMA} AUTHORIZATION clients_owner`)
  await admin.query(fs.readFileSync(path.join(__dirname, 'tables.sql'), 'utf8'))
  const db = await connect('clients_app')
  const { rows: shapes } = await admin.query('SELECT * FROM shapes ORDER BY name')
  for (const shape of shapes) await new Sweep(db, admin, shape).run()
  await errors(db)
  await prepared(db)
  await caches(db)
  await cancels(db, admin)
  await test('laws, at the end', async () => equal((await admin.query('SELECT laws_all()')).rows, []))
  await db.end()
  await admin.end()
  console.log(`1..${count}`)
  process.exitCode = failed ? 1 : 0
}

main().catch((error) => {
  console.log(`Bail out! ${error.stack}`)
  process.exitCode = 1
})
