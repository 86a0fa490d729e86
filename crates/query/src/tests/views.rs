//! Each view on records whose answer can be counted by hand.

use super::stores::{TestStore, hsm, with};

const OK: &str = "status=LUNA_RET_OK";

#[tokio::test]
async fn views_have_the_columns_of_the_contract() {
    let store = TestStore::of(vec![]);
    let session = store.session().await;
    for (view, columns) in [
        ("key_usage", "ouid,operations,uses,failed,actors,client_ips,first_seen,last_seen"),
        ("login_failures", "actor_id,failures,lockouts,attempts,client_ips,first_failure,last_failure"),
        (
            "zeroize_events",
            "time,kind,partition_id,resource_id,actor_id,client_ip,role,action,status,archive,member,ordinal",
        ),
    ] {
        let frame = session.sql(&format!("SELECT * FROM {view}")).await.unwrap();
        let names: Vec<&str> = frame.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names.join(","), columns, "{view}");
    }
}

#[tokio::test]
async fn key_usage() {
    let store = TestStore::of(vec![
        // One key in two spellings; INIT and data records are operations, not uses.
        hsm("2026-01-05 08:00:00", &format!("ouid=2C00AB actor_id=a1 client_ip=1 action=LUNA_SIGN_INIT {OK}")),
        hsm("2026-01-05 08:00:01", &format!("ouid=2c00ab actor_id=a1 client_ip=1 action=LUNA_SIGN {OK}")),
        hsm("2026-01-05 08:00:02", &format!("ouid=2c00ab actor_id=a1 client_ip=2 action=LUNA_SIGN_END {OK}")),
        hsm("2026-01-05 08:00:03", &format!("ouid=2c00ab actor_id=a2 client_ip=2 action=LUNA_DECRYPT_SINGLEPART {OK}")),
        // Neither a failed use nor a record without status is a use; both failed.
        hsm(
            "2026-01-05 08:00:04",
            "ouid=2c00ab actor_id=a2 client_ip=2 action=LUNA_VERIFY_END status=LUNA_RET_SIGNATURE_INVALID",
        ),
        hsm("2026-01-05 08:00:05", "ouid=2c00ab actor_id=a2 action=LUNA_VERIFY_END"),
        // Other successful operations are no uses.
        hsm("2026-01-05 08:00:06", &format!("ouid=2c00ab action=LUNA_DIGEST_KEY {OK}")),
        // Several ids in one text, one of them twice.
        with(
            hsm("2026-02-01 00:00:00.5", &format!("actor_id=a3 action=LUNA_GENERATE_KEY_PAIR {OK}")),
            "ouid",
            "DD01, dd02;2C00AB dd02",
        ),
        // No key at all.
        hsm("2026-02-02 00:00:00", &format!("actor_id=a3 action=LUNA_LOGIN {OK}")),
        with(hsm("2026-02-02 00:00:00", &format!("actor_id=a3 action=LUNA_SIGN_END {OK}")), "ouid", " , "),
        // CipherTrust records do not count, whatever they hold.
        hsm("2026-02-02 00:00:00", "source=cdsp ouid=2c00ab action=LUNA_SIGN_END status=success"),
        // A record without a source is no CipherTrust record.
    ]);
    let expected = "\
2c00ab,8,2,2,3,2,2026-01-05T08:00:00Z,2026-02-01T00:00:00.500Z
dd01,1,0,0,1,0,2026-02-01T00:00:00.500Z,2026-02-01T00:00:00.500Z
dd02,1,0,0,1,0,2026-02-01T00:00:00.500Z,2026-02-01T00:00:00.500Z";
    assert_eq!(store.rows("SELECT * FROM key_usage").await, expected);
}

#[tokio::test]
async fn key_usage_by_partition_tells_partitions_apart() {
    let store = TestStore::of(vec![
        hsm("2026-01-05 08:00:00", &format!("ouid=AA partition_id=1 action=LUNA_SIGN_END {OK}")),
        hsm("2026-01-05 08:00:01", &format!("ouid=aa partition_id=1 action=LUNA_SIGN_END {OK}")),
        hsm("2026-01-05 08:00:02", &format!("ouid=aa partition_id=2 action=LUNA_SIGN_END {OK}")),
        hsm("2026-01-05 08:00:03", &format!("ouid=aa action=LUNA_SIGN_END {OK}")),
    ]);
    let rows = store.rows("SELECT partition_id, ouid, uses FROM key_usage_by_partition").await;
    assert_eq!(rows, "1,aa,2\n2,aa,1\n,aa,1");
}

#[tokio::test]
async fn login_failures() {
    let login = |time: &str, actor: &str, ip: &str, status: &str| {
        hsm(time, &format!("action=LUNA_LOGIN actor_id={actor} client_ip={ip} status=LUNA_RET_{status}"))
    };
    let store = TestStore::of(vec![
        login("2026-01-05 08:00:00", "a1", "1", "OK"),
        login("2026-01-05 08:00:01", "a1", "1", "UM_PIN_INCORRECT"),
        // Counts as a failure and as a lockout.
        login("2026-01-05 08:00:02", "a1", "2", "UM_PIN_INCORRECT_CONTAINER_LOCKED"),
        login("2026-01-05 08:00:03", "a1", "2", "CONTAINER_LOCKED"),
        // Known by its pattern only.
        login("2026-01-05 08:00:04", "a1", "3", "NEW_PIN_INCORRECT"),
        // No wrong credential: an attempt only.
        login("2026-01-05 08:00:05", "a1", "4", "SM_PIN_EXPIRED"),
        hsm("2026-01-05 08:00:06", "action=LUNA_LOGIN actor_id=a1"),
        // No failures: no row.
        login("2026-01-05 08:00:07", "a2", "1", "OK"),
        login("2026-01-05 08:00:07", "a2", "1", "GENERAL_ERROR"),
        // Another action with such a status is no login.
        hsm("2026-01-05 08:00:08", "action=LUNA_SET_PIN actor_id=a2 status=LUNA_RET_UM_PIN_INCORRECT"),
        // Lockout without a wrong credential.
        login("2026-01-05 08:00:09", "a3", "1", "SO_LOGIN_FAILURE_THRESHOLD"),
        hsm("2026-01-05 08:00:09", "source=cdsp action=LUNA_LOGIN actor_id=a4 status=LUNA_RET_UM_PIN_INCORRECT"),
        hsm("2026-01-05 08:00:10", "action=LUNA_LOGIN status=LUNA_RET_UM_PIN_INCORRECT"),
    ]);
    let expected = "\
a1,4,2,7,4,2026-01-05T08:00:01Z,2026-01-05T08:00:04Z
a3,1,1,1,1,2026-01-05T08:00:09Z,2026-01-05T08:00:09Z
,1,0,1,0,2026-01-05T08:00:10Z,2026-01-05T08:00:10Z";
    assert_eq!(store.rows("SELECT * FROM login_failures").await, expected);
}

#[tokio::test]
async fn zeroize_events() {
    let record = |time: &str, partition: &str, action: &str, status: &str| {
        hsm(time, &format!("partition_id={partition} action=LUNA_{action} status=LUNA_RET_{status}"))
    };
    let store = TestStore::of(vec![
        // First use of partition 1, then a new beginning: destroyed what was there.
        record("2026-01-05 08:00:00", "1", "LOGIN", "OK"),
        record("2026-01-05 08:00:01", "1", "PARTITION_INIT", "OK"),
        // A failed initialisation destroys nothing.
        record("2026-01-05 08:00:02", "1", "PARTITION_INIT", "USER_NOT_LOGGED_IN"),
        // Partition 2 had only been initialised, and is used later: not in use at the time.
        record("2026-01-05 08:00:03", "2", "PARTITION_INIT", "OK"),
        record("2026-01-05 08:00:04", "2", "PARTITION_INIT", "OK"),
        record("2026-01-05 08:00:05", "2", "LOGIN", "OK"),
        // Partition 3: use and initialisation at the same moment are in no order.
        record("2026-01-05 08:00:06", "3", "LOGIN", "OK"),
        record("2026-01-05 08:00:06", "3", "PARTITION_INIT", "OK"),
        record("2026-01-05 08:00:07", "4", "PARTITION_ZEROIZE", "OK"),
        record("2026-01-05 08:00:08", "4", "PARTITION_ZEROIZE", "USER_NOT_LOGGED_IN"),
        // Whatever was asked for: the status says that the partition is gone, and one record is one row.
        record("2026-01-05 08:00:09", "4", "PARTITION_ZEROIZE", "UM_PIN_INCORRECT_CONTAINER_ZEROIZED"),
        record("2026-01-05 08:00:10", "5", "LOGIN", "UM_PIN_INCORRECT_CONTAINER_ZEROIZED"),
        record("2026-01-05 08:00:11", "5", "SIGN_INIT", "SOMETHING_ZEROIZED"),
        hsm("2026-01-05 08:00:12", "partition_id=6 action=LUNA_PARTITION_ZEROIZE"),
        hsm("2026-01-05 08:00:13", "partition_id=6 action=LUNA_PARTITION_ZEROIZE source=cdsp status=LUNA_RET_OK"),
        // Which partition was initialised is unknown: nothing says that it was in use.
        hsm("2026-01-05 08:00:14", "action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=other/1"),
        hsm("2026-01-05 08:00:14", "action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=thales/cloudhsm/"),
        // Without partid the source names the partition: of the use, of the initialisation, or of both.
        hsm("2026-01-05 08:00:15", "action=LUNA_LOGIN status=LUNA_RET_OK source=thales/cloudhsm/77"),
        hsm("2026-01-05 08:00:16", "action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=thales/cloudhsm/77"),
        record("2026-01-05 08:00:17", "77", "PARTITION_INIT", "OK"),
        hsm("2026-01-05 08:00:18", "action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=thales/cloudhsm/5"),
        // Where there is a partid it counts, whatever the source.
        hsm(
            "2026-01-05 08:00:19",
            "partition_id=78 action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=thales/cloudhsm/77",
        ),
        record("2026-01-05 08:00:20", "4", "PARTITION_ZEROIZE", "SO_LOGIN_FAILURE_THRESHOLD"),
        // An empty partid is none: these are two partitions, and only the second one is initialised after a use.
        hsm("2026-01-05 08:00:21", "partition_id= action=LUNA_LOGIN status=LUNA_RET_OK source=thales/cloudhsm/81"),
        hsm(
            "2026-01-05 08:00:22",
            "partition_id= action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=thales/cloudhsm/82",
        ),
        hsm(
            "2026-01-05 08:00:23",
            "partition_id= action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=thales/cloudhsm/81",
        ),
        record("2026-01-05 08:00:24", "81", "PARTITION_INIT", "OK"),
        hsm("2026-01-05 08:00:25", "partition_id= action=LUNA_PARTITION_INIT status=LUNA_RET_OK source=other/1"),
    ]);
    let expected = "\
2026-01-05T08:00:01Z,reinitialised,1,1
2026-01-05T08:00:07Z,zeroize,4,8
2026-01-05T08:00:08Z,zeroize_attempt,4,9
2026-01-05T08:00:09Z,wiped_by_login_failures,4,10
2026-01-05T08:00:10Z,wiped_by_login_failures,5,11
2026-01-05T08:00:11Z,wiped_by_login_failures,5,12
2026-01-05T08:00:12Z,zeroize_attempt,6,13
2026-01-05T08:00:16Z,reinitialised,,18
2026-01-05T08:00:17Z,reinitialised,77,19
2026-01-05T08:00:18Z,reinitialised,,20
2026-01-05T08:00:20Z,wiped_by_login_failures,4,22
2026-01-05T08:00:23Z,reinitialised,,25
2026-01-05T08:00:24Z,reinitialised,81,26";
    assert_eq!(store.rows("SELECT time, kind, partition_id, ordinal FROM zeroize_events").await, expected);
}

#[tokio::test]
async fn key_lifecycle() {
    let store = TestStore::of(vec![
        with(hsm("2026-01-05 08:00:00", &format!("action=LUNA_GENERATE_KEY_PAIR {OK}")), "ouid", "AA,bb"),
        hsm("2026-01-05 08:00:01", "action=LUNA_WRAP_KEY ouid=aa status=LUNA_RET_KEY_UNEXTRACTABLE"),
        // No key named, and still part of a key's life.
        hsm("2026-01-05 08:00:02", "action=LUNA_GENERATE_KEY status=LUNA_RET_USER_NOT_LOGGED_IN"),
        hsm("2026-01-05 08:00:03", &format!("action=LUNA_SIGN_INIT ouid=aa {OK}")),
        hsm("2026-01-05 08:00:04", &format!("action=LUNA_NEVER_HEARD_OF ouid=aa {OK}")),
        hsm("2026-01-05 08:00:05", &format!("action=LUNA_DESTROY_OBJECT ouid=aa {OK}")),
        hsm("2026-01-05 08:00:06", "source=cdsp action=LUNA_DESTROY_OBJECT ouid=aa status=success"),
    ]);
    let expected = "\
2026-01-05T08:00:00Z,aa,key_create,LUNA_GENERATE_KEY_PAIR,ok
2026-01-05T08:00:00Z,bb,key_create,LUNA_GENERATE_KEY_PAIR,ok
2026-01-05T08:00:01Z,aa,key_export,LUNA_WRAP_KEY,permission
2026-01-05T08:00:02Z,,key_create,LUNA_GENERATE_KEY,auth_state
2026-01-05T08:00:05Z,aa,key_destroy,LUNA_DESTROY_OBJECT,ok";
    assert_eq!(store.rows("SELECT time, ouid, category, action, class FROM key_lifecycle").await, expected);
}

#[tokio::test]
async fn failed_operations() {
    let store = TestStore::of(vec![
        hsm("2026-01-05 08:00:00", "action=LUNA_SIGN_INIT actor_id=a1 status=LUNA_RET_KEY_HANDLE_INVALID"),
        hsm("2026-01-05 08:00:01", "action=LUNA_SIGN_INIT actor_id=a2 status=LUNA_RET_KEY_HANDLE_INVALID"),
        hsm("2026-01-05 08:00:02", "action=LUNA_SIGN_INIT actor_id=a2"),
        hsm("2026-01-05 08:00:03", "action=LUNA_NEW actor_id=a2 status=LUNA_RET_NEW"),
        hsm("2026-01-05 08:00:04", "status=LUNA_RET_NEW"),
        hsm("2026-01-05 08:00:05", &format!("action=LUNA_SIGN_INIT {OK}")),
        hsm("2026-01-05 08:00:06", "source=cdsp action=LUNA_SIGN_INIT status=failure"),
    ]);
    let expected = "\
LUNA_SIGN_INIT,key_use,LUNA_RET_KEY_HANDLE_INVALID,not_found,2,2,2026-01-05T08:00:00Z,2026-01-05T08:00:01Z
LUNA_NEW,unknown,LUNA_RET_NEW,other_failure,1,1,2026-01-05T08:00:03Z,2026-01-05T08:00:03Z
LUNA_SIGN_INIT,key_use,,other_failure,1,1,2026-01-05T08:00:02Z,2026-01-05T08:00:02Z
,unknown,LUNA_RET_NEW,other_failure,1,0,2026-01-05T08:00:04Z,2026-01-05T08:00:04Z";
    assert_eq!(store.rows("SELECT * FROM failed_operations").await, expected);
}

#[tokio::test]
async fn actor_activity() {
    let store = TestStore::of(vec![
        hsm("2026-01-05 23:59:59.999999", &format!("actor_id=a1 client_ip=1 action=LUNA_LOGIN {OK}")),
        hsm("2026-01-06 00:00:00", &format!("actor_id=a1 client_ip=2 action=LUNA_SIGN_END ouid=AA {OK}")),
        hsm("2026-01-06 00:00:01", "actor_id=a1 client_ip=2 action=LUNA_LOGIN status=LUNA_RET_UM_PIN_INCORRECT"),
        with(
            hsm("2026-01-06 00:00:02", &format!("actor_id=a1 client_ip=1 action=LUNA_SIGN_END {OK}")),
            "ouid",
            "aa bb",
        ),
        hsm("2026-01-07 00:00:00", &format!("actor_id=a2 action=LUNA_DIGEST_END {OK}")),
        hsm("2026-01-07 00:00:00", "action=LUNA_SIGN_END ouid=cc"),
        hsm("2026-01-07 00:00:00", "source=cdsp actor_id=a3 action=Login status=success"),
    ]);
    let expected = "\
a1,4,1,1,2,2,2026-01-05T23:59:59.999999Z,2026-01-06T00:00:02Z,2
a2,1,0,0,0,0,2026-01-07T00:00:00Z,2026-01-07T00:00:00Z,1
,1,1,0,1,0,2026-01-07T00:00:00Z,2026-01-07T00:00:00Z,1";
    assert_eq!(store.rows("SELECT * FROM actor_activity").await, expected);
}
