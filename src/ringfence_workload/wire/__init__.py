"""What both sides of a fence share: messages, sealed memory, the simulator channel, checks of a hostile peer."""
