//! The installation on a node: the plugin's program, its conflist beside the primary's, and how both go again.
