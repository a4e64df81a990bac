# Makes new what the kernel of a clone shares with its template: the random generator, and the boot id. Perl, because Node has no
# ioctl. Standard input: fresh bytes of the host's, hexadecimal.
use strict;
my ($add_entropy, $reseed, $mount, $bind) = (0x40085203, 0x5207, 165, 4096);    # RNDADDENTROPY, RNDRESEEDCRNG, mount(2) of x86-64, MS_BIND

chomp(my $hex = <STDIN> // '');
my $bytes = pack('H*', $hex);
length $bytes >= 64 or die "Only " . length($bytes) . " bytes came.\n";
open(my $random, '+<', '/dev/urandom') or die "/dev/urandom: $!\n";
# The first puts the bytes into the pool and has no effect on what is read until the second has made a new key of the pool.
ioctl($random, $add_entropy, pack('i i a*', 8 * length $bytes, length $bytes, $bytes)) or die "RNDADDENTROPY: $!\n";
ioctl($random, $reseed, 0) or die "RNDRESEEDCRNG: $!\n";

# The kernel keeps the boot id for good, so what is read at its place is another file's.
my ($id_file, $new_id_file, $none) = ('/proc/sys/kernel/random/boot_id', '/run/sallyport-boot-id', 'none');
open(my $uuid, '<', '/proc/sys/kernel/random/uuid') or die "uuid: $!\n";
my $new_id = <$uuid>;
open(my $out, '>', $new_id_file) or die "$new_id_file: $!\n";
print $out $new_id;
close $out or die "$new_id_file: $!\n";
open(my $in, '<', $id_file) or die "$id_file: $!\n";
<$in> eq $new_id or syscall($mount, $new_id_file, $id_file, $none, $bind, 0) == 0 or die "mount of $new_id_file: $!\n";
