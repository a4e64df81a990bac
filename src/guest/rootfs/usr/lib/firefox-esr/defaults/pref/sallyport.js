// Read before the policies, and before any process of Firefox's is started.
pref("general.config.filename", "sallyport.cfg");
pref("general.config.obscure_value", 0);
// sallyport.cfg reaches the libraries and the processes of Firefox.
pref("general.config.sandbox_enabled", false);
// Its children would have the memory layout, and the random state, of the template that a clone was made of.
pref("dom.ipc.forkserver.enable", false, locked);
// The socket process has a random state of its own, and runs no script that could make it new. Without it, its work is the parent's.
pref("network.process.enabled", false, locked);
