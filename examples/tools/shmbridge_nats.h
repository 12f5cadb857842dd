/* SPDX-License-Identifier: MIT
 *
 * What shmbridge needs of NATS: a connection that comes back by itself, an
 * inbox for replies, a stream; and errors that say what to do.
 */

/* Codes of JetStream errors, as the server numbers them. */
#define CODE_DISABLED_FOR_ACCOUNT 10039
#define CODE_STREAM_NOT_FOUND 10059
#define CODE_WRONG_LAST_SEQUENCE 10071
#define CODE_JETSTREAM_DISABLED 10076

/* The longest file in which a server keeps messages of a stream, if it has
 * room for four of them at least (2.9 to 2.12). */
#define BLOCK (8 << 20)
#define LEAST_BYTES (INT64_C(4) * BLOCK)

#define RECONNECT_MS 200
#define API_MS 5000 /* a question to the server is answered by then */

/* ---- connecting ---- */

static void
on_reconnect(natsConnection *connection, void *closure)
{
	struct bridge *b = closure;

	(void)connection;
	atomic_fetch_add(&b->reconnects, 1);
	atomic_store(&b->connected, 1);
}

static void
on_disconnect(natsConnection *connection, void *closure)
{
	struct bridge *b = closure;

	(void)connection;
	atomic_store(&b->connected, 0);
}

/* Without this the library prints them. What matters comes as the result of
 * some call. */
static void
on_error(natsConnection *connection, natsSubscription *subscription,
	 natsStatus status, void *closure)
{
	(void)connection;
	(void)subscription;
	(void)status;
	(void)closure;
}

/* The URL, without a password. */
static const char *
server(void)
{
	const char *at = strrchr(option.server, '@');

	return at ? at + 1 : option.server;
}

static __attribute__((noreturn)) void
fail_connect(natsStatus status)
{
	const char *url = server();

	if (status == NATS_NO_SERVER || status == NATS_TIMEOUT)
		fail(EX_UNAVAILABLE,
		     "%s: no server answers: start one (nats-server -js -sd "
		     "DIRECTORY), or say where it is: --server",
		     url);
	if (status == NATS_CONNECTION_AUTH_FAILED)
		fail(EX_NOPERM,
		     "%s: refused: --server=nats://USER:PASSWORD@HOST, or "
		     "--creds=FILE",
		     url);
	if (status == NATS_SECURE_CONNECTION_REQUIRED)
		fail(EX_UNAVAILABLE, "%s: wants TLS: --tls", url);
	if (status == NATS_SECURE_CONNECTION_WANTED)
		fail(EX_UNAVAILABLE, "%s: has no TLS", url);
	if (status == NATS_SSL_ERROR)
		fail(EX_UNAVAILABLE,
		     "%s: TLS fails: %s (--tls-ca=FILE vouches for the server)",
		     url, nats_GetLastError(NULL));
	fail(EX_UNAVAILABLE, "%s: %s", url, nats_GetLastError(NULL));
}

static natsStatus
set_security(natsOptions *options)
{
	natsStatus s = NATS_OK;

	if (option.creds)
		s = natsOptions_SetUserCredentialsFromFiles(options,
							    option.creds, NULL);
	if (s == NATS_OK && option.tls)
		s = natsOptions_SetSecure(options, true);
	if (s == NATS_OK && option.tls_ca)
		s = natsOptions_LoadCATrustedCertificates(options,
							  option.tls_ca);
	if (s == NATS_OK && option.tls_cert)
		s = natsOptions_LoadCertificatesChain(options, option.tls_cert,
						      option.tls_key);
	return s;
}

static natsOptions *
make_options(struct bridge *b, int at_once)
{
	natsOptions *options = NULL;
	natsStatus s = natsOptions_Create(&options);

	if (s == NATS_OK)
		s = natsOptions_SetURL(options, option.server);
	if (s == NATS_OK)
		s = set_security(options);
	if (s != NATS_OK)
		fail(EX_CONFIG, "%s: %s", server(), nats_GetLastError(NULL));
	natsOptions_SetSendAsap(options, at_once);
	natsOptions_SetName(options, "shmbridge");
	natsOptions_SetErrorHandler(options, on_error, NULL);
	natsOptions_SetReconnectedCB(options, on_reconnect, b);
	natsOptions_SetDisconnectedCB(options, on_disconnect, b);
	natsOptions_SetMaxReconnect(options, -1); /* for ever */
	natsOptions_SetReconnectWait(options, RECONNECT_MS);
	natsOptions_SetPingInterval(options, 10000);
	natsOptions_SetWriteDeadline(options, 10000);
	natsOptions_SetIOBufSize(options, 256 << 10);
	return options;
}

/* at_once: each message, rather than many with one system call. */
static void
connect_bridge(struct bridge *b, int at_once)
{
	natsOptions *options = make_options(b, at_once);
	natsInbox *inbox = NULL;
	char all[80];
	natsStatus s;

	while ((s = natsConnection_Connect(&b->connection, options)) !=
		       NATS_OK &&
	       option.wait && !atomic_load(&stopping))
		pause_ms(RECONNECT_MS);
	natsOptions_Destroy(options);
	if (s != NATS_OK && atomic_load(&stopping))
		return;
	if (s != NATS_OK)
		fail_connect(s);
	atomic_store(&b->connected, 1);
	natsConnection_JetStream(&b->js, b->connection, NULL);
	natsInbox_Create(&inbox);
	snprintf(b->inbox, sizeof(b->inbox), "%s", inbox);
	natsInbox_Destroy(inbox);
	snprintf(all, sizeof(all), "%s.>", b->inbox);
	s = natsConnection_SubscribeSync(&b->replies, b->connection, all);
	if (s != NATS_OK || !b->js)
		fail(EX_UNAVAILABLE, "%s: %s", server(), natsStatus_GetText(s));
	/* What is on its way to us is limited by what we asked for. */
	natsSubscription_SetPendingLimits(b->replies, -1, -1);
}

static void
disconnect_bridge(struct bridge *b)
{
	natsSubscription_Destroy(b->replies);
	jsCtx_Destroy(b->js);
	natsConnection_Destroy(b->connection);
}

/* The next reply, waiting for at most so long, or NULL. */
static natsMsg *
next_reply(struct bridge *b, int64_t milliseconds)
{
	natsMsg *reply = NULL;
	natsStatus s =
		natsSubscription_NextMsg(&reply, b->replies, milliseconds);

	if (s == NATS_OK)
		return reply;
	if (s != NATS_TIMEOUT && natsConnection_IsClosed(b->connection))
		fail(EX_NOPERM, "%s: the server refuses us by now", server());
	return NULL;
}

static int
has_reply(struct bridge *b)
{
	uint64_t count = 0;

	natsSubscription_QueuedMsgs(b->replies, &count);
	return count > 0;
}

/* ---- the stream ---- */

/* A question to JetStream failed: return if it may be asked again. */
static void
may_pass(struct bridge *b, natsStatus status, jsErrCode code)
{
	const char *last = NULL;

	if (code == CODE_STREAM_NOT_FOUND && option.wait && !b->worked) {
		pause_ms(RECONNECT_MS / 2);
		return;
	}
	if (code == CODE_STREAM_NOT_FOUND)
		fail(EX_UNAVAILABLE, "%s: no such stream: %s", b->stream,
		     b->worked	 ? "it was deleted"
		     : option.in ? "shmbridge out --create makes it; --wait "
				   "waits for it"
				 : "--create makes it");
	if (code == CODE_DISABLED_FOR_ACCOUNT)
		fail(EX_NOPERM, "%s: this account has no JetStream", server());
	natsConnection_GetLastError(b->connection, &last);
	if (last && strstr(last, "ermissions"))
		fail(EX_NOPERM, "%s: %s: the user needs the right to it",
		     b->stream, last);
	if ((b->worked || option.wait) &&
	    !natsConnection_IsClosed(b->connection)) {
		pause_ms(RECONNECT_MS / 2);
		return;
	}
	if (code == CODE_JETSTREAM_DISABLED || status == NATS_NO_RESPONDERS)
		fail(EX_UNAVAILABLE,
		     "%s: JetStream is not enabled: nats-server -js -sd "
		     "DIRECTORY",
		     server());
	fail(EX_UNAVAILABLE, "%s: %s, %d: %s", b->stream,
	     natsStatus_GetText(status), code, nats_GetLastError(NULL));
}

static natsStatus
make_stream(struct bridge *b, jsStreamInfo **info, jsErrCode *code)
{
	const char *subjects[] = { b->subject };
	jsStreamConfig config;

	jsStreamConfig_Init(&config);
	config.Name = b->stream;
	config.Subjects = subjects;
	config.SubjectsLen = 1;
	config.Storage = js_FileStorage;
	/* Full means wait, as with a ring; the default removes the oldest. */
	config.Discard = js_DiscardNew;
	config.MaxBytes = option.max_bytes;
	config.Duplicates = option.duplicates_ns;
	return js_AddStream(info, b->js, &config, NULL, code);
}

/* A stream that removes what is old to make room for what is new loses what was
 * not read. And while a server removes what was read it writes anew the file
 * where that ends; killed then, it has lost all that is in it. So we leave the
 * length of a file of what was read, see purge(). */
static void
check_limits(struct bridge *b, const jsStreamConfig *config)
{
	int limited = config->MaxBytes > 0 || config->MaxMsgs > 0;

	if (!option.in && (config->MaxMsgsPerSubject > 0 ||
			   (limited && config->Discard != js_DiscardNew)))
		fail(EX_UNAVAILABLE,
		     "%s: removes its oldest messages when it is full, read or "
		     "not: it must refuse new ones (discard: new)",
		     b->stream);
	if (option.purge && config->MaxBytes > 0 &&
	    config->MaxBytes < LEAST_BYTES)
		fail(EX_UNAVAILABLE,
		     "%s: too small for --purge: its max_bytes must be %" PRId64
		     " at least",
		     b->stream, LEAST_BYTES);
	b->bytes_most = config->MaxBytes > 0 ? (uint64_t)config->MaxBytes : 0;
}

/* Ask for the stream: 1, or 0 if the server cannot tell now. */
static int
look_at_stream(struct bridge *b)
{
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	natsStatus s = js_GetStreamInfo(&info, b->js, b->stream, NULL, &code);

	if (code == CODE_STREAM_NOT_FOUND && option.create && !option.in &&
	    !b->worked)
		s = make_stream(b, &info, &code);
	if (s != NATS_OK) {
		may_pass(b, s, code);
		return 0;
	}
	if (b->worked && info->Created != b->created)
		fail(EX_UNAVAILABLE, "%s: the stream was made anew", b->stream);
	b->created = info->Created;
	check_limits(b, info->Config);
	b->first = info->State.FirstSeq;
	b->last = info->State.LastSeq;
	b->bytes_used = info->State.Bytes;
	b->worked = 1;
	jsStreamInfo_Destroy(info);
	return 1;
}
