-- Asks the sidecar whether a request may pass (HAProxy 2.6 or newer, core.httpclient).
--
-- `http-request lua.authz` answers denials itself and sets txn.authz_allowed on an allow. Whatever goes wrong in here,
-- the variable is not set, and the deny rule after it ends the request: without that rule this is no protection.
-- `http-request lua.authz-observe` asks, and changes nothing.

local URL = os.getenv("AUTHZ_URL") or "http://127.0.0.1:8080/check/haproxy"
local CALLER_TOKEN = os.getenv("AUTHZ_CALLER_TOKEN")
-- HAProxy 2.6 tries a call four times: a client waits four times as long for the refusal.
local TIMEOUT_MS = 500

-- To the upstream on an allow. A policy that sends headers of its own needs their names here.
local TO_UPSTREAM = { "x-authz-subject", "x-authz-roles", "x-authz-scopes", "x-decision-id" }
local TO_CLIENT = { "x-decision-id", "www-authenticate", "retry-after", "content-type", "cache-control" }
local DENIALS = { [401] = true, [403] = true, [429] = true }

-- All values of the request's headers of that name, so that a second Authorization is seen as one.
local function sent(headers, name)
    local values = {}
    for _, value in pairs(headers[name] or {}) do
        values[#values + 1] = value
    end
    return values
end

local function question(txn)
    local headers = txn.http:req_get_headers()
    local check = {
        ["authorization"] = sent(headers, "authorization"),
        ["x-original-method"] = { txn.sf:method() },
        ["x-original-uri"] = { txn.sf:pathq() },
        ["x-original-host"] = sent(headers, "host"),
        ["x-authz-client-ip"] = { txn.sf:src() },
        ["x-authz-user-agent"] = sent(headers, "user-agent"),
        ["x-request-id"] = sent(headers, "x-request-id"),
        ["traceparent"] = sent(headers, "traceparent"),
    }
    if CALLER_TOKEN then
        check["x-authz-caller-token"] = { CALLER_TOKEN }
    end
    return check
end

local function first(answer, name)
    local values = answer.headers and answer.headers[name]
    return values and (values[0] or values[1])
end

-- The sidecar's answer; txn.authz_id is the decision's id, if it came to one.
local function ask(txn)
    local answer = core.httpclient():get({ url = URL, headers = question(txn), timeout = TIMEOUT_MS })
    local id = first(answer, "x-decision-id")
    if id then
        txn:set_var("txn.authz_id", id)
    end
    return answer
end

local function let_pass(txn, answer)
    for _, name in ipairs(TO_UPSTREAM) do
        local value = first(answer, name)
        if value == nil then
            return -- not an answer of the sidecar's
        end
        txn.http:req_set_header(name, value)
    end
    txn:set_var("txn.authz_allowed", true)
end

local function deny(txn, answer)
    local reply = txn:reply({ status = answer.status, body = answer.body or "" })
    for _, name in ipairs(TO_CLIENT) do
        local value = first(answer, name)
        if value ~= nil then
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

core.register_action("authz", { "http-req" }, function(txn)
    local answer = ask(txn)
    if answer.status == 200 then
        let_pass(txn, answer)
    elseif DENIALS[answer.status] then
        deny(txn, answer)
    end
end)

core.register_action("authz-observe", { "http-req" }, ask)
