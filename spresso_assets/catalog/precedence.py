"""Which metadata fields an asset has, and whose word counts when sources disagree."""

# Best first. A person's edit always wins, so that a rescan can never undo it.
SOURCES = ("user", "ixml", "aswg", "bext", "info", "id3", "ucs_filename", "folder", "model")
RANK = {source: rank for rank, source in enumerate(SOURCES)}

# What the sound is called, then what is said about it: resolved columns of `asset`, all text.
NAME_FIELDS = ("fx_name", "title")
DESCRIPTIVE_FIELDS = (
    *("description", "keywords", "cat_id", "category", "subcategory", "user_category", "vendor_category"),
    *("creator_id", "source_id", "user_data", "library", "manufacturer", "designer", "microphone", "mic_perspective"),
    *("rec_medium", "rec_type", "location", "notes", "track_year", "bext_originator", "bext_originator_ref"),
    *("bext_date", "bext_time_reference", "umid", "rating"),
)
RESOLVED_FIELDS = (*NAME_FIELDS, *DESCRIPTIVE_FIELDS)
# Of use to machines only: words in them would be noise in a search for bare words.
UNSEARCHED_FIELDS = frozenset({"bext_time_reference", "umid"})
