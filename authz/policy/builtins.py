"""The builtins a policy may call: those that OPA compiles into the Wasm guest.

Any other would have to be answered by the host: not at all, or differently from OPA (`sprintf`), or by looking at a
clock or a network. The list is that of the pinned OPA; a test derives it anew from what the compiler does.
"""

_NAMES = """
    abs and array.concat array.flatten array.reverse array.slice assign base64.decode base64.encode base64.is_valid
    base64url.decode base64url.encode bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor ceil concat contains
    count div endswith eq equal floor format_int glob.match graph.reachable gt gte indexof internal.member_2
    internal.member_3 internal.template_string intersection is_array is_boolean is_null is_number is_object is_set
    is_string json.filter json.is_valid json.marshal json.remove json.unmarshal lower lt lte max min minus mul neq
    net.cidr_contains net.cidr_intersects numbers.range object.filter object.get object.keys object.remove
    object.union object.union_n or plus product regex.find_all_string_submatch_n regex.is_valid regex.match rem
    replace round sort split startswith strings.replace_n strings.reverse substring sum to_number trim trim_left
    trim_prefix trim_right trim_space trim_suffix type_name union upper walk
"""

NATIVE = frozenset(_NAMES.split())
