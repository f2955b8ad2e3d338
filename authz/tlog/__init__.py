"""Transparency logs: Merkle tree, signed notes and checkpoints, cosignatures, tiles and proofs, by C2SP's formats."""

from authz.tlog.check import verify_consistency, verify_inclusion
from authz.tlog.checkpoint import Checkpoint, checkpoint_of, open_checkpoint, read_checkpoint
from authz.tlog.cosignature import CosignerKey, CosignerSigner, cosignature_time
from authz.tlog.entries import MAX_ENTRY_BYTES, entry_bundle, read_entry_bundle
from authz.tlog.errors import CheckpointError, MalformedError, NoteError, ProofError, TileMissingError, TlogError
from authz.tlog.keys import Verifier, VerifierKey, check_name
from authz.tlog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    HashReader,
    leaf_hash,
    leaf_hashes,
    node_hash,
    parents,
    perfect_root,
)
from authz.tlog.note import (
    Note,
    Signature,
    Signer,
    add_signatures,
    open_note,
    read_signature_line,
    signature_line,
    split_note,
)
from authz.tlog.proof import TlogProof, read_proof, verify_proof
from authz.tlog.prove import consistency_proof, inclusion_proof, tree_root
from authz.tlog.strict import HASH_BYTES, MAX_SIZE, read_base64, read_hash, read_number, write_base64
from authz.tlog.tile_paths import TILE_LEVELS, TILE_WIDTH, TilePath, entries_path, read_tile_path, tile_path, tiles_for
from authz.tlog.tiled_tree import TiledTree
from authz.tlog.tiles import TileReader, read_tile

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "MAX_ENTRY_BYTES",
    "MAX_SIZE",
    "TILE_LEVELS",
    "TILE_WIDTH",
    "Checkpoint",
    "CheckpointError",
    "CompactRange",
    "CosignerKey",
    "CosignerSigner",
    "HashReader",
    "MalformedError",
    "Note",
    "NoteError",
    "ProofError",
    "Signature",
    "Signer",
    "TileMissingError",
    "TilePath",
    "TileReader",
    "TiledTree",
    "TlogError",
    "TlogProof",
    "Verifier",
    "VerifierKey",
    "add_signatures",
    "check_name",
    "checkpoint_of",
    "consistency_proof",
    "cosignature_time",
    "entries_path",
    "entry_bundle",
    "inclusion_proof",
    "leaf_hash",
    "leaf_hashes",
    "node_hash",
    "open_checkpoint",
    "open_note",
    "parents",
    "perfect_root",
    "read_base64",
    "read_checkpoint",
    "read_entry_bundle",
    "read_hash",
    "read_number",
    "read_proof",
    "read_signature_line",
    "read_tile",
    "read_tile_path",
    "signature_line",
    "split_note",
    "tile_path",
    "tiles_for",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
    "verify_proof",
    "write_base64",
]
