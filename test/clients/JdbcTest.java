import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Timer;
import java.util.TimerTask;
import java.util.UUID;
import java.util.stream.Collectors;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;

/**
 * pgJDBC against managed tables.  Speaks TAP; the server is that of PG*, on a
 * Unix-domain socket.  The argument is the path of tables.sql.
 */
public class JdbcTest {
	static final String TENANT_A = "11111111-1111-4111-8111-111111111111";
	static final String TENANT_B = "22222222-2222-4222-8222-222222222222";
	static final OffsetDateTime NOON = OffsetDateTime.parse("2026-11-01T12:00:00Z");

	/** The schema of the tables, and what goes before the names of cases. */
	public static String schema;
	static String label;
	static int count;
	static int failed;

	interface Case {
		void run() throws Exception;
	}

	/** A case fails when it throws. */
	static void test(String what, Case body) {
		String name = label + what;
		count++;
		try {
			body.run();
			System.out.printf("ok %d - %s%n", count, name);
		} catch (Exception | AssertionError error) {
			failed++;
			System.out.printf("not ok %d - %s%n# %s%n", count, name, String.valueOf(error).replace("\n", "\n# "));
			for (StackTraceElement line : error.getStackTrace()) {
				System.out.printf("#   at %s%n", line);
			}
		}
	}

	static void equal(Object found, Object expected) {
		if (!Objects.equals(found, expected)) {
			throw new AssertionError("found " + found + ", expected " + expected);
		}
	}

	static SQLException raises(String sqlstate, Case body) throws Exception {
		try {
			body.run();
		} catch (SQLException error) {
			if (!sqlstate.equals(error.getSQLState())) {
				throw error;
			}
			return error;
		}
		throw new AssertionError("no error, expected " + sqlstate);
	}

	public static Connection connect(String user, String... more) throws SQLException {
		Properties options = new Properties();
		options.setProperty("user", user);
		options.setProperty("currentSchema", schema + ",public");
		options.setProperty("sslmode", "disable");
		options.setProperty("socketFactory", "UnixSockets");
		options.setProperty("socketFactoryArg", System.getenv("PGHOST") + "/.s.PGSQL." + System.getenv("PGPORT"));
		for (int n = 0; n < more.length; n += 2) {
			options.setProperty(more[n], more[n + 1]);
		}
		return DriverManager.getConnection("jdbc:postgresql://localhost/" + System.getenv("PGDATABASE"), options);
	}

	/** A transaction, of a tenant where one is given. */
	static void working(Connection db, String tenant, Case body) throws Exception {
		db.setAutoCommit(false);
		try {
			if (tenant != null) {
				query(db, "SELECT ffs_set_tenant(?)", tenant);
			}
			body.run();
			db.commit();
		} catch (Exception | AssertionError error) {
			db.rollback();
			throw error;
		} finally {
			db.setAutoCommit(true);
		}
	}

	static PGobject jsonb(String text) throws SQLException {
		PGobject value = new PGobject();
		value.setType("jsonb");
		value.setValue(text);
		return value;
	}

	static void bind(PreparedStatement statement, Object... values) throws SQLException {
		for (int n = 0; n < values.length; n++) {
			statement.setObject(n + 1, values[n]);
		}
	}

	static List<Map<String, Object>> rows(ResultSet result) throws SQLException {
		List<Map<String, Object>> all = new ArrayList<>();
		ResultSetMetaData about = result.getMetaData();
		while (result.next()) {
			Map<String, Object> row = new LinkedHashMap<>();
			for (int n = 1; n <= about.getColumnCount(); n++) {
				Object value = result.getObject(n);
				row.put(about.getColumnLabel(n), value instanceof Array ? String.valueOf(value) : value);
			}
			all.add(row);
		}
		return all;
	}

	static List<Map<String, Object>> query(Connection db, String sql, Object... values) throws SQLException {
		try (PreparedStatement statement = db.prepareStatement(sql)) {
			bind(statement, values);
			return statement.execute() ? rows(statement.getResultSet()) : List.of();
		}
	}

	static Object value(Connection db, String sql, Object... values) throws SQLException {
		return query(db, sql, values).get(0).values().iterator().next();
	}

	static int update(Connection db, String sql, Object... values) throws SQLException {
		try (PreparedStatement statement = db.prepareStatement(sql)) {
			bind(statement, values);
			return statement.executeUpdate();
		}
	}

	static Object[] join(Object first, List<?> rest) {
		List<Object> all = new ArrayList<>();
		all.add(first);
		all.addAll(rest);
		return all.toArray();
	}

	/** The same cases on each table. */
	static class Sweep {
		final Connection db;
		final Connection rewriting;
		final Connection admin;
		final String table;
		final boolean versions;
		final boolean softDelete;
		final String tenant;
		final List<String> key;
		final List<String> keyTypes;
		final List<String> arbiter;
		/** Key columns that an INSERT has to give. */
		final List<String> given;
		int used = 1000;
		Map<String, Object> kept;

		Sweep(Connection db, Connection rewriting, Connection admin, Map<String, Object> shape) {
			this.db = db;
			this.rewriting = rewriting;
			this.admin = admin;
			table = (String) shape.get("name");
			versions = shape.get("strategy").equals("scd2");
			softDelete = (Boolean) shape.get("soft_delete");
			tenant = (Boolean) shape.get("tenant") ? TENANT_A : null;
			key = list(shape.get("key"));
			keyTypes = Arrays.asList(((String) shape.get("key_type")).split(","));
			arbiter = list(shape.get("arbiter"));
			given = (Boolean) shape.get("generated") ? List.of()
				: key.stream().filter(c -> !c.equals("tenant_id")).collect(Collectors.toList());
		}

		static List<String> list(Object array) {
			String text = (String) array;
			return Arrays.asList(text.substring(1, text.length() - 1).split(","));
		}

		/** Values for the columns of given, not used yet, then others. */
		Object[] keys(Object... more) {
			used++;
			List<Object> all = new ArrayList<>(Arrays.<Object>asList((long) used, 1).subList(0, given.size()));
			all.addAll(Arrays.asList(more));
			return all.toArray();
		}

		String insert(String columns) {
			List<String> names = new ArrayList<>(given);
			names.addAll(Arrays.asList(columns.split(", ")));
			return "INSERT INTO " + table + " (" + String.join(", ", names) + ") VALUES ("
				+ String.join(", ", Collections.nCopies(names.size(), "?")) + ")";
		}

		void test(String name, Case body) {
			JdbcTest.test(table + ": " + name, body);
		}

		void tx(Case body) throws Exception {
			working(db, tenant, body);
		}

		Map<String, Object> one(String code) throws SQLException {
			List<Map<String, Object>> found = query(db, "SELECT * FROM " + table + " WHERE code = ?", code);
			return found.isEmpty() ? null : found.get(0);
		}

		List<Object> said(String call, String rows) throws SQLException {
			return query(db, call, table, rows).stream().map(r -> r.get("said")).collect(Collectors.toList());
		}

		List<Object> keyOf(Map<String, Object> row) {
			return key.stream().map(row::get).collect(Collectors.toList());
		}

		PGobject jsonbKey(Map<String, Object> row, String more) throws SQLException {
			return jsonb("{" + key.stream().map(c -> "\"" + c + "\": \"" + row.get(c) + "\"")
				.collect(Collectors.joining(", ")) + more + "}");
		}

		String given(String more) {
			Object[] values = keys();
			StringBuilder text = new StringBuilder("{");
			for (int n = 0; n < values.length; n++) {
				text.append('"').append(given.get(n)).append("\": ").append(values[n]).append(", ");
			}
			return text.append(more).append('}').toString();
		}

		void run() {
			rows();
			batches();
			upserts();
			copies();
			functions();
			deletes();
			test("laws", () -> equal(query(admin, "SELECT laws('" + table + "')"), List.of()));
		}

		void rows() {
			test("INSERT: generated keys, stamps, generated column", () -> {
				Map<String, Object> made = new LinkedHashMap<>();
				tx(() -> {
					try (PreparedStatement statement = db.prepareStatement(
						insert("title, amount, code, tags, data, due"), Statement.RETURN_GENERATED_KEYS)) {
						bind(statement, keys("first", new BigDecimal("12.50"), "c1",
							db.createArrayOf("text", new String[] {"x", null}), jsonb("{\"a\": 1}"), NOON));
						equal(statement.executeUpdate(), 1);
						made.putAll(JdbcTest.rows(statement.getGeneratedKeys()).get(0));
					}
				});
				equal(made.get("title"), "first");
				equal(made.get("twice"), new BigDecimal("25.00"));
				equal(made.get("created_by"), "clients_app");
				equal(made.get("updated_at"), made.get("created_at"));
				equal(keyOf(made).contains(null), false);
				equal(made.get("tags"), "{x,NULL}");
				if (versions) {
					equal(made.get("version"), 1);
				}
			});
			test("INSERT: named generated keys; supplied stamps are ignored", () -> tx(() -> {
				try (PreparedStatement statement = db.prepareStatement(
					insert("title, code, created_by, created_at"), new String[] {key.get(0), "created_by", "created_at"})) {
					bind(statement, keys("second", "c2", "mallory", NOON));
					equal(statement.executeUpdate(), 1);
					Map<String, Object> made = JdbcTest.rows(statement.getGeneratedKeys()).get(0);
					equal(made.get("created_by"), "clients_app");
					equal(made.get("created_at").equals(java.sql.Timestamp.from(NOON.toInstant())), false);
				}
			}));
			test("UPDATE: row count; one that changes nothing, one of no row", () -> {
				tx(() -> equal(update(db, "UPDATE " + table + " SET amount = amount + ? WHERE code = 'c1'", 1), 1));
				tx(() -> {
					Map<String, Object> before = one("c1");
					equal(before.get("twice"), new BigDecimal("27.00"));
					if (versions) {
						equal(before.get("version"), 2);
					}
					equal(update(db, "UPDATE " + table + " SET amount = amount WHERE code = 'c1'"), 1);
					equal(one("c1").toString(), before.toString());
					equal(update(db, "UPDATE " + table + " SET amount = 0 WHERE code = 'nobody'"), 0);
				});
			});
			test("rollback to a savepoint", () -> tx(() -> {
				Map<String, Object> before = one("c1");
				Savepoint savepoint = db.setSavepoint();
				equal(update(db, "UPDATE " + table + " SET title = 'gone' WHERE code = 'c1'"), 1);
				db.rollback(savepoint);
				equal(one("c1").toString(), before.toString());
				savepoint = db.setSavepoint();
				equal(update(db, "UPDATE " + table + " SET title = 'kept' WHERE code = 'c1'"), 1);
				db.releaseSavepoint(savepoint);
				equal(one("c1").get("title"), "kept");
			}));
			test("an updatable result set", () -> tx(() -> {
				try (Statement statement = db.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
					ResultSet result = statement.executeQuery("SELECT " + String.join(", ", key)
						+ ", title, code FROM " + table + " WHERE code IN ('c1', 'c2') ORDER BY code")) {
					equal(result.next(), true);
					result.updateString("title", "in place");
					result.updateRow();
					equal(one("c1").get("title"), "in place");
					equal(result.next(), true);
					result.deleteRow();
					equal(one("c2"), null);
				}
			}));
		}

		void batches() {
			for (Connection on : List.of(db, rewriting)) {
				String prefix = on == db ? "m" : "w";
				test(on == db ? "addBatch" : "addBatch, reWriteBatchedInserts", () -> working(on, tenant, () -> {
					try (PreparedStatement statement = on.prepareStatement(insert("title, code"))) {
						for (int n = 0; n < 50; n++) {
							bind(statement, keys("many " + n, prefix + n));
							statement.addBatch();
						}
						int[] counts = statement.executeBatch();
						// Rewritten, a statement has many rows, and none a count of its own.
						int[] expected = new int[50];
						Arrays.fill(expected, on == db ? 1 : Statement.SUCCESS_NO_INFO);
						equal(Arrays.toString(counts), Arrays.toString(expected));
					}
					equal(value(on, "SELECT count(*) FROM " + table + " WHERE code LIKE ?", prefix + "%"), 50L);
				}));
			}
			test("addBatch: generated keys of each row, and UPDATE counts", () -> tx(() -> {
				try (PreparedStatement statement = db.prepareStatement(insert("title, code"), Statement.RETURN_GENERATED_KEYS)) {
					for (int n = 0; n < 10; n++) {
						bind(statement, keys("many " + n, "n" + n));
						statement.addBatch();
					}
					equal(statement.executeBatch().length, 10);
					equal(JdbcTest.rows(statement.getGeneratedKeys()).stream().map(r -> keyOf(r)).distinct().count(), 10L);
				}
				try (PreparedStatement statement = db.prepareStatement("UPDATE " + table + " SET amount = ? WHERE code = ?")) {
					for (String code : List.of("n1", "nobody", "n2")) {
						bind(statement, 5, code);
						statement.addBatch();
					}
					equal(Arrays.toString(statement.executeBatch()), "[1, 0, 1]");
				}
			}));
			test("addBatch: an error is BatchUpdateException, and leaves nothing", () -> {
				SQLException error = raises("23502", () -> tx(() -> {
					try (PreparedStatement statement = db.prepareStatement("UPDATE " + table + " SET title = ? WHERE code = ?")) {
						for (String title : Arrays.asList("good", null, "good")) {
							bind(statement, title, "n1");
							statement.addBatch();
						}
						statement.executeBatch();
					}
				}));
				equal(error instanceof BatchUpdateException, true);
				tx(() -> equal(one("n1").get("title"), "many 1"));
			});
		}

		void upserts() {
			boolean byId = arbiter.get(0).equals("id");
			List<Object> columns = new ArrayList<>(Arrays.asList(keys()));
			if (byId) {
				columns.add(UUID.randomUUID());
			}
			String insert = insert((byId ? "id, " : "") + "title, code") + " ON CONFLICT (" + String.join(", ", arbiter) + ") ";
			String update = insert + "DO UPDATE SET title = excluded.title, amount = " + table + ".amount + 1";
			test("ON CONFLICT DO UPDATE, DO NOTHING", () -> {
				List<Map<String, Object>> made = new ArrayList<>();
				for (String title : List.of("up 1", "up 2")) {
					tx(() -> {
						List<Object> values = new ArrayList<>(columns);
						values.addAll(List.of(title, "u1"));
						try (PreparedStatement statement = db.prepareStatement(update, Statement.RETURN_GENERATED_KEYS)) {
							bind(statement, values.toArray());
							equal(statement.executeUpdate(), 1);
							made.addAll(JdbcTest.rows(statement.getGeneratedKeys()));
						}
					});
				}
				equal(keyOf(made.get(1)), keyOf(made.get(0)));
				equal(made.get(1).get("title"), "up 2");
				equal(made.get(1).get("twice"), new BigDecimal("4.00"));
				if (versions) {
					equal(made.get(1).get("version"), 2);
				}
				tx(() -> {
					List<Object> values = new ArrayList<>(columns);
					values.addAll(List.of("up 3", "u1"));
					equal(JdbcTest.update(db, insert + "DO NOTHING", values.toArray()), 0);
				});
			});
			test("MERGE", () -> tx(() -> {
				List<String> names = new ArrayList<>(given);
				names.addAll(List.of("title", "code"));
				String on = given.isEmpty() ? "t.code = s.code"
					: given.stream().map(c -> "t." + c + " = s." + c).collect(Collectors.joining(" AND "));
				String merge = "MERGE INTO " + table + " t USING (VALUES ("
					+ String.join(", ", Collections.nCopies(names.size(), "?")) + ")) AS s (" + String.join(", ", names)
					+ ") ON " + on + " WHEN MATCHED THEN UPDATE SET title = s.title WHEN NOT MATCHED THEN INSERT ("
					+ String.join(", ", names) + ") VALUES ("
					+ names.stream().map(c -> "s." + c).collect(Collectors.joining(", ")) + ")";
				List<Object> values = new ArrayList<>(columns.subList(0, given.size()));
				values.addAll(List.of("merged", "u1"));
				equal(JdbcTest.update(db, merge, values.toArray()), 1);
				equal(JdbcTest.update(db, merge, keys("merged", "u2")), 1);
				equal(one("u1").get("title"), "merged");
				equal(one("u2").get("title"), "merged");
			}));
		}

		/** COPY's binary format of rows of bigint, integer and text. */
		byte[] binary(List<Object[]> rows) throws Exception {
			ByteArrayOutputStream bytes = new ByteArrayOutputStream();
			DataOutputStream out = new DataOutputStream(bytes);
			out.write("PGCOPY\n\377\r\n\0".getBytes(StandardCharsets.ISO_8859_1));
			out.writeLong(0);
			for (Object[] row : rows) {
				out.writeShort(row.length);
				for (Object field : row) {
					if (field instanceof Long) {
						out.writeInt(8);
						out.writeLong((Long) field);
					} else if (field instanceof Integer) {
						out.writeInt(4);
						out.writeInt((Integer) field);
					} else {
						byte[] text = field.toString().getBytes(StandardCharsets.UTF_8);
						out.writeInt(text.length);
						out.write(text);
					}
				}
			}
			out.writeShort(-1);
			return bytes.toByteArray();
		}

		void copyIn(Connection on, boolean binary, String prefix) throws Exception {
			List<Object[]> rows = new ArrayList<>();
			for (int n = 0; n < 20; n++) {
				rows.add(keys("copied " + n, prefix + n));
			}
			List<String> names = new ArrayList<>(given);
			names.addAll(List.of("title", "code"));
			byte[] data = binary ? binary(rows) : rows.stream()
				.map(r -> Arrays.stream(r).map(Object::toString).collect(Collectors.joining("\t")) + "\n")
				.collect(Collectors.joining()).getBytes(StandardCharsets.UTF_8);
			CopyManager copy = on.unwrap(PGConnection.class).getCopyAPI();
			equal(copy.copyIn("COPY " + table + " (" + String.join(", ", names) + ") FROM STDIN (FORMAT "
				+ (binary ? "binary" : "text") + ")", new ByteArrayInputStream(data)), 20L);
		}

		void copies() {
			for (boolean binary : new boolean[] {false, true}) {
				String prefix = binary ? "binary" : "text";
				test("CopyManager, in and out, " + prefix, () -> {
					if (tenant == null) {
						copyIn(db, binary, prefix);
					} else {
						// PostgreSQL refuses it to roles that row-level security binds.
						raises("0A000", () -> tx(() -> copyIn(db, binary, prefix)));
						working(admin, tenant, () -> copyIn(admin, binary, prefix));
					}
					tx(() -> {
						ByteArrayOutputStream out = new ByteArrayOutputStream();
						equal(db.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT title, code FROM " + table
							+ " WHERE code LIKE '" + prefix + "%' ORDER BY code) TO STDOUT (FORMAT " + prefix + ")", out), 20L);
						if (binary) {
							equal(out.size() > 20 * 8, true);
						} else {
							equal(out.toString(StandardCharsets.UTF_8).split("\n")[0], "copied 0\ttext0");
						}
					});
				});
			}
		}

		void functions() {
			test("ffs_create_many, jsonb parameter", () -> {
				StringBuilder rows = new StringBuilder("[");
				for (int n = 0; n < 30; n++) {
					rows.append(given("\"title\": \"made\", \"code\": \"j" + n + "\"")).append(", ");
				}
				rows.append(given("\"title\": \"made\", \"code\": \"bad\", \"amount\": \"much\"")).append("]");
				List<Map<String, Object>> found = new ArrayList<>();
				tx(() -> {
					found.addAll(query(db, "SELECT * FROM ffs_create_many(?::regclass, ?, on_error => 'report')",
						table, jsonb(rows.toString())));
					equal(query(db, "SELECT * FROM ffs_create_many(?, ?::jsonb)", table, "[]"), List.of());
				});
				equal(found.size(), 31);
				equal(found.stream().limit(30).map(r -> r.get("action")).distinct().collect(Collectors.toList()), List.of("inserted"));
				equal(found.get(30).get("action") + " " + found.get(30).get("sqlstate"), "rejected 22P02");
			});
			test("ffs_create_records, an array of row literals", () -> tx(() -> {
				List<String> columns = query(db, "SELECT attname FROM pg_attribute WHERE attrelid = ?::regclass "
					+ "AND attnum > 0 AND NOT attisdropped ORDER BY attnum", table).stream()
					.map(r -> (String) r.get("attname")).collect(Collectors.toList());
				Object[] rows = new Object[31];
				for (int n = 0; n < 31; n++) {
					Map<String, Object> values = new LinkedHashMap<>();
					Object[] ours = keys();
					for (int k = 0; k < ours.length; k++) {
						values.put(given.get(k), ours[k]);
					}
					values.put("code", "r" + n);
					values.put("title", n == 30 ? "" : "\"say \"\"x\"\", y\"");
					rows[n] = columns.stream().map(c -> values.getOrDefault(c, "").toString())
						.collect(Collectors.joining(",", "(", ")"));
				}
				List<Map<String, Object>> found = query(db, "SELECT * FROM ffs_create_records(?::" + table
					+ "[], on_error => 'report')", db.createArrayOf(table, rows));
				equal(found.stream().limit(30).map(r -> r.get("action")).distinct().collect(Collectors.toList()), List.of("inserted"));
				equal(found.get(30).get("row_number") + " " + found.get(30).get("sqlstate"), "31 23502");
				equal(one("r7").get("title"), "say \"x\", y");
			}));
			test("ffs_create, ffs_get: the driver's types, text, jsonb", () -> tx(() -> {
				value(db, "SELECT ffs_create(?, ?)", table, jsonb(given("\"title\": \"made\", \"code\": \"g1\"")));
				kept = one("g1");
				String get = "SELECT * FROM ffs_get(NULL::" + table + ", ";
				String holes = String.join(", ", Collections.nCopies(key.size(), "?"));
				equal(query(db, get + holes + ")", keyOf(kept).toArray()).toString(), List.of(kept).toString());
				// Without its cast a simple query has it as text.
				equal(query(db, get + "?::jsonb)", jsonbKey(kept, "")).toString(), List.of(kept).toString());
				if (key.size() == 1) {
					equal(query(db, get + "?)", kept.get("id").toString()).toString(), List.of(kept).toString());
				}
			}));
			test("ffs_get_many, in the order of the keys", () -> tx(() -> {
				List<Map<String, Object>> rows = query(db, "SELECT * FROM " + table + " WHERE code LIKE 'j%' ORDER BY code DESC LIMIT 5");
				String[] keys = new String[5];
				for (int n = 0; n < 5; n++) {
					keys[n] = jsonbKey(rows.get(n), "").getValue();
				}
				String many = "SELECT * FROM ffs_get_many(NULL::" + table + ", ?)";
				equal(query(db, many.replace("?", "?::jsonb[]"), db.createArrayOf("jsonb", keys)).toString(), rows.toString());
				if (key.size() == 1) {
					Object[] ids = rows.stream().map(r -> r.get("id")).toArray();
					equal(query(db, many.replace("?", "?::" + keyTypes.get(0) + "[]"), db.createArrayOf(keyTypes.get(0), ids)).toString(), rows.toString());
				}
			}));
			test("ffs_update_many, ffs_delete_many, ffs_restore_many", () -> tx(() -> {
				String call = "SELECT coalesce(sqlstate, action) AS said, key FROM %s(?, ?::jsonb, on_error => 'report')";
				List<String> keys = query(db, String.format(call, "ffs_create_many"), table,
					"[" + given("\"title\": \"x\", \"code\": \"x1\"") + ", " + given("\"title\": \"x\"") + "]").stream()
					.map(r -> r.get("key").toString()).collect(Collectors.toList());
				String patches = keys.stream().map(k -> k.replace("}", ", \"amount\": 4}")).collect(Collectors.joining(", ", "[", "]"));
				equal(said(String.format(call, "ffs_update_many"), patches), List.of("updated", "updated"));
				equal(one("x1").get("twice"), new BigDecimal("8.00"));
				equal(said(String.format(call, "ffs_delete_many"), keys.toString()), List.of("deleted", "deleted"));
				equal(said(String.format(call, "ffs_delete_many"), keys.toString()), List.of("skipped", "skipped"));
				if (softDelete) {
					equal(said(String.format(call, "ffs_restore_many"), keys.toString()), List.of("restored", "restored"));
				}
			}));
			test("ffs_list, ffs_count", () -> tx(() -> {
				PGobject filter = jsonb("{\"code\": {\"in\": [\"j1\", \"j2\", \"nobody\"]}}");
				List<Map<String, Object>> found = query(db, "SELECT * FROM ffs_list(NULL::" + table + ", ?, ?, ?)", filter, "code desc", 5);
				equal(found.stream().map(r -> r.get("code")).collect(Collectors.toList()), List.of("j2", "j1"));
				equal(value(db, "SELECT ffs_count(?, ?)", table, filter), 2L);
			}));
			test("ffs_update, and its expected_version", () -> {
				PGobject patch = jsonbKey(kept, ", \"amount\": 7");
				if (versions) {
					PSQLException error = (PSQLException) raises("ZF010",
						() -> tx(() -> value(db, "SELECT ffs_update(?, ?, ?)", table, patch, 9)));
					equal(error.getServerErrorMessage().getDetail().contains("1"), true);
					equal(error.getServerErrorMessage().getHint() != null, true);
				}
				tx(() -> {
					String now = value(db, "SELECT ffs_update(?, ?, ?::integer)", table, patch, versions ? 1 : null).toString();
					equal(now.contains("\"twice\": 14.00"), true);
					equal(now.contains("\"version\": 2"), versions);
				});
			});
			test("ffs_delete, ffs_restore, through CallableStatement", () -> {
				String holes = String.join(", ", Collections.nCopies(key.size(), "?"));
				tx(() -> {
					if (label.startsWith("simple")) {
						// There the driver sends NULL for what comes out.
						String delete = "SELECT ffs_delete(?, " + holes + ")";
						equal(value(db, delete, join(table, keyOf(kept))), true);
						equal(value(db, delete, join(table, keyOf(kept))), false);
						return;
					}
					try (CallableStatement delete = db.prepareCall("{? = call ffs_delete(?, " + holes + ")}")) {
						for (boolean there : new boolean[] {true, false}) {
							delete.registerOutParameter(1, Types.BOOLEAN);
							delete.setString(2, table);
							for (int n = 0; n < key.size(); n++) {
								delete.setObject(3 + n, keyOf(kept).get(n));
							}
							delete.execute();
							equal(delete.getBoolean(1), there);
						}
					}
				});
				tx(() -> equal(one("g1"), null));
				String restore = "SELECT ffs_restore(?, ?::jsonb)";
				if (softDelete) {
					tx(() -> {
						equal(value(db, restore, table, jsonbKey(kept, "")), true);
						equal(one("g1").get("amount"), new BigDecimal("7.00"));
					});
				} else {
					raises("55000", () -> tx(() -> value(db, restore, table, jsonbKey(kept, ""))));
				}
			});
		}

		void deletes() {
			test("DELETE: row count", () -> tx(() -> {
				equal(update(db, "DELETE FROM " + table + " WHERE code LIKE ?", "m%"), 50);
				equal(update(db, "DELETE FROM " + table + " WHERE code LIKE ?", "m%"), 0);
			}));
			test("a result set that is fetched in pieces", () -> tx(() -> {
				try (PreparedStatement statement = db.prepareStatement("SELECT code FROM " + table + " WHERE code LIKE 'j%'")) {
					statement.setFetchSize(7);
					int seen = 0;
					try (ResultSet result = statement.executeQuery()) {
						while (result.next()) {
							update(db, "UPDATE " + table + " SET due = now() WHERE code = ?", result.getString(1));
							seen++;
						}
					}
					equal(seen, 30);
				}
			}));
		}
	}

	static void errors(Connection db) {
		test("class ZF is in getSQLState(), with detail and hint of the server's message", () -> {
			PSQLException error = (PSQLException) raises("ZF001", () -> update(db, "INSERT INTO notes_scd2_t (title) VALUES ('x')"));
			equal(error.getServerErrorMessage().getHint().contains("ffs_set_tenant"), true);
		});
		test("ZF002, ZF003, ZF020, ZF021", () -> {
			raises("ZF002", () -> working(db, TENANT_A, () -> update(db,
				"INSERT INTO notes_scd2_t (title, tenant_id) VALUES ('x', ?)", UUID.fromString(TENANT_B))));
			raises("ZF003", () -> working(db, TENANT_A, () -> query(db, "SELECT ffs_set_tenant(?)", TENANT_B)));
			raises("ZF020", () -> query(db, "SELECT ffs_create_many('shapes', '[]')"));
			raises("ZF021", () -> query(db, "SELECT * FROM ffs_get(NULL::lines_scd2, ?)", 1L));
		});
	}

	static void prepared(Connection db) {
		test("server-prepared statements serve tenant after tenant, generic plans too", () -> {
			working(db, TENANT_A, () -> update(db, "INSERT INTO notes_scd2_t (title) VALUES ('theirs 1')"));
			working(db, TENANT_B, () -> update(db, "INSERT INTO notes_scd2_t (title) VALUES ('theirs 1'), ('theirs 2')"));
			for (String mode : List.of("auto", "force_generic_plan")) {
				query(db, "SET plan_cache_mode = " + mode);
				try (PreparedStatement read = db.prepareStatement("SELECT count(*) FROM notes_scd2_t WHERE title LIKE ?");
					PreparedStatement write = db.prepareStatement("UPDATE notes_scd2_t SET due = now() WHERE title LIKE ?")) {
					read.unwrap(PGStatement.class).setPrepareThreshold(1);
					for (int turn = 0; turn < 8; turn++) {
						for (String tenant : Arrays.asList(TENANT_A, TENANT_B, null)) {
							int there = tenant == null ? 0 : tenant.equals(TENANT_A) ? 1 : 2;
							working(db, tenant, () -> {
								bind(read, "theirs%");
								bind(write, "theirs%");
								equal(rows(read.executeQuery()).get(0).get("count"), (long) there);
								if (tenant != null) {
									equal(write.executeUpdate(), there);
								}
							});
						}
					}
				}
			}
			query(db, "RESET plan_cache_mode");
		});
	}

	static void caches(Connection db) throws SQLException {
		try (Connection owner = connect("clients_owner")) {
			query(owner, "CREATE TABLE late (id integer PRIMARY KEY, title text)");
			query(owner, "GRANT ALL ON late TO clients_app");
			update(db, "INSERT INTO late VALUES (1, 'x')");
			test("ffs_manage under a server-prepared SELECT *: PostgreSQL's 0A000 in a transaction, healed after it", () -> {
				try (PreparedStatement read = db.prepareStatement("SELECT * FROM late");
					PreparedStatement write = db.prepareStatement("UPDATE late SET title = ? WHERE id = 1")) {
					read.unwrap(PGStatement.class).setPrepareThreshold(1);
					write.unwrap(PGStatement.class).setPrepareThreshold(1);
					for (int turn = 0; turn < 3; turn++) {
						equal(rows(read.executeQuery()).get(0).size(), 2);
						bind(write, "turn " + turn);
						equal(write.executeUpdate(), 1);
					}
					query(owner, "SELECT ffs_manage('late', 'scd2')");
					SQLException error = raises("0A000", () -> working(db, null, () -> read.executeQuery()));
					equal(error.getMessage().contains("cached plan must not change result type"), true);
					equal(rows(read.executeQuery()).get(0).get("version"), 1);
					bind(write, "managed");
					equal(write.executeUpdate(), 1);
					query(owner, "SELECT ffs_unmanage('late')");
					bind(write, "unmanaged");
					equal(write.executeUpdate(), 1);
				}
			});
		}
	}

	static void cancels(Connection db, Connection admin) {
		String slow = "UPDATE notes_scd2 SET amount = amount + 1 WHERE pg_sleep(0.1) IS NOT NULL";
		test("Statement.cancel(): nothing is left, and the connection goes on", () -> {
			Object before = value(admin, "SELECT count(*) FROM notes_scd2_history");
			try (Statement statement = db.createStatement()) {
				Timer timer = new Timer(true);
				timer.schedule(new TimerTask() {
					@Override
					public void run() {
						try {
							statement.cancel();
						} catch (SQLException error) {
							System.out.println("# " + error);
						}
					}
				}, 300);
				raises("57014", () -> statement.executeUpdate(slow));
				timer.cancel();
			}
			equal(value(db, "SELECT 1"), 1);
			equal(value(admin, "SELECT count(*) FROM notes_scd2_history"), before);
		});
	}

	/** The sweep over all tables, and what else is given, through connections of one kind. */
	static void suite(String kind, Path tables, boolean whole, String... options) throws Exception {
		schema = "client_jdbc" + (whole ? "" : "_" + kind);
		label = whole ? "" : kind + ": ";
		String[] more = Arrays.copyOf(options, options.length + 2);
		more[options.length] = "reWriteBatchedInserts";
		more[options.length + 1] = "true";
		try (Connection admin = connect("postgres");
			Connection db = connect("clients_app", options);
			Connection rewriting = connect("clients_app", more)) {
			try (Statement statement = admin.createStatement()) {
				statement.execute("CREATE SCHEMA " + schema + " AUTHORIZATION clients_owner");
				statement.execute(Files.readString(tables));
			}
			for (Map<String, Object> shape : query(admin, "SELECT * FROM shapes ORDER BY name")) {
				new Sweep(db, rewriting, admin, shape).run();
			}
			if (whole) {
				errors(db);
				prepared(db);
				caches(db);
				cancels(db, admin);
			}
			test("laws, at the end", () -> equal(query(admin, "SELECT laws_all()"), List.of()));
		}
	}

	public static void main(String[] args) throws Exception {
		Path tables = Path.of(args[0]);
		suite("extended", tables, true);
		// Values within the text of one simple query.
		suite("simple", tables, false, "preferQueryMode", "simple");
		// A savepoint before every statement.
		suite("autosave", tables, false, "autosave", "always");
		System.out.printf("1..%d%n", count);
		System.exit(failed == 0 ? 0 : 1);
	}
}
