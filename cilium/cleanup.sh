set -u

# without_cilium reads what iptables-save prints, and writes for iptables-restore --noflush what takes Cilium's chains
# away, and the rules that jump to them. Everything else stays, also if somebody changes it meanwhile.
without_cilium() {
	while read -r line; do
		case $line in
		\**) chains=''; printf '%s\n' "$line" ;;
		:CILIUM_* | :OLD_CILIUM_*) line=${line#:}; chains="$chains ${line%% *}" ;;
		'-A CILIUM_'* | '-A OLD_CILIUM_'*) ;; # goes with its chain
		-A*' -j CILIUM_'* | -A*' -j OLD_CILIUM_'*) printf '%s\n' "-D${line#-A}" ;;
		COMMIT)
			for chain in $chains; do printf '%s\n' "-F $chain"; done
			for chain in $chains; do printf '%s\n' "-X $chain"; done
			printf '%s\n' "$line" ;;
		esac
	done
}

# endpoints reads what ip -o link prints, and writes the names of the interfaces that Cilium makes for pods.
endpoints() {
	sed -nE 's/^[0-9]+: (lxc_health|lxc[0-9a-f]{12})[@:].*/\1/p'
}

clean() {
	# Cilium's own command. The rest is what it leaves.
	cilium-dbg post-uninstall-cleanup --all-state --force
	rm -f /opt/cni/bin/cilium-cni
	for link in $(ip -o link | endpoints); do
		ip link delete "$link"
	done
	for family in -4 -6; do
		for table in 2004 2005; do
			while ip $family rule delete table $table 2>/dev/null; do :; done
			ip $family route flush table $table 2>/dev/null
		done
		# Cilium moves the rule for local addresses behind its own.
		if ip $family rule | grep -q '^100:.*lookup local' &&
			ip $family rule add table local priority 0 2>/dev/null; then
			ip $family rule delete table local priority 100
		fi
	done
	for command in iptables ip6tables; do
		if ! $command-save | without_cilium | $command-restore --noflush --wait; then
			echo "rules of $command are left"
		fi
	done
	for set in $(ipset list -name 2>/dev/null | grep '^cilium_node_set_'); do
		ipset destroy "$set"
	done
	rmdir /sys/fs/bpf/tc/globals /sys/fs/bpf/tc 2>/dev/null
	if [ -d /hostproc/1/root ]; then # the agent's init containers reach the node in the same way
		rm -f /hostproc/1/root/etc/sysctl.d/99-zzz-override_cilium.conf
		nsenter --mount=/hostproc/1/ns/mnt umount /run/cilium/cgroupv2 2>/dev/null
		nsenter --mount=/hostproc/1/ns/mnt rmdir /run/cilium/cgroupv2 2>/dev/null
		# A plugin that was asked to delete a pod's network gives up on the agent after a while, and leaves a note.
		for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			grep -qsx cilium-cni /hostproc/[0-9]*/comm || break
			sleep 1
		done
	fi
	# Of the state, Cilium's command removes only what is not below a mounted file system.
	find /host/run -xdev -mindepth 1 ! -path '/host/run/cgroupv2*' -delete
	# A node that takes a Cilium for its network would be Ready, although no pod can start.
	for file in /etc/cni/net.d/*cilium*.conf*; do
		if [ -e "$file" ]; then echo "$file is left"; return 1; fi
	done
}
