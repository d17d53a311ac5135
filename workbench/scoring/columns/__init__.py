"""The scores of a document: functions of its token losses, built in or of the user."""
