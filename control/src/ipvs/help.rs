//! What `ipvsadm -h` and `-v` print.

/// Scripts look for the version to learn what the command can do: it is that of the `ipvsadm`
/// whose language this is.
pub(super) const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";

/// The command line in short, below the version.
pub(super) const HELP: &str = "\
ipvsadm, as understood by sluice

  ipvsadm -A|-E SERVICE [-s SCHEDULER] [-b FLAGS] [-p [SECONDS]] [-M NETMASK] [-o]
  ipvsadm -D SERVICE
  ipvsadm -a|-e SERVICE -r SERVER [-g|-i|-m|-b] [-w WEIGHT] [-x UPPER] [-y LOWER]
  ipvsadm -d SERVICE -r SERVER
  ipvsadm -P|-Q SERVICE -z ADDRESS
  ipvsadm -G [SERVICE]
  ipvsadm -C | -Z [SERVICE]
  ipvsadm -L [-n] [SERVICE | -c | --timeout | --daemon] [COLUMNS] [--exact] [--nosort]
  ipvsadm -S [-n] | -R
  ipvsadm --set TCP TCPFIN UDP
  ipvsadm -h | -v

Commands
  -A, --add-service      add a virtual service
  -E, --edit-service     change all of a virtual service but its servers
  -D, --delete-service   delete a virtual service with its servers
  -a, --add-server       add a real server to a service
  -e, --edit-server      change all of a real server but its address
  -d, --delete-server    delete a real server
  -P, --add-laddr        add a local address, from which FULLNAT speaks to the servers
  -Q, --del-laddr        delete a local address
  -G, --get-laddr        list local addresses, of one service or all
  -C, --clear            delete all services; sessions stay
  -L, -l, --list         list services, connections or time-outs
  -Z, --zero             count anew, for one service or all
  -S, --save             print the services as lines for -R
  -R, --restore          do what the lines of standard input say
      --set              seconds that idle sessions live; 0 leaves a value as it is

SERVICE
  -t, --tcp-service ADDRESS:PORT     a TCP service
  -u, --udp-service ADDRESS:PORT     a UDP service
      --sctp-service ADDRESS:PORT    an SCTP service
  -f, --fwmark-service MARK [-6]     packets with a mark; of IPv6

Options
  -s, --scheduler NAME   rr wrr lc wlc sed nq fo ovf twos dh sh mh lblc lblcr none (wlc)
  -b, --sched-flags LIST flag-1,flag-2,flag-3; sh-fallback,sh-port; mh-fallback,mh-port
  -p, --persistent [S]   a client keeps its server for so many seconds (360)
  -M, --netmask MASK     which clients are one (255.255.255.255)
  -o, --ops              schedule every UDP packet by itself
  -r, --real-server ADDRESS[:PORT]
  -g, --gatewaying       direct routing (what is done when nothing is said)
  -i, --ipip             IP in IP; --tun-type ipip
  -m, --masquerading     NAT
  -b, --fullnat          FULLNAT: servers answer to a local address of the service
  -z, --local-address A  a local address
  -w, --weight N         how much of the load it gets; 0 is none (1)
  -x, --u-threshold N    sessions at which it gets no more; 0 is no limit
  -y, --l-threshold N    sessions below which it gets some again
  -n, --numeric          no names
  -c, --connection       sessions and persistence templates
COLUMNS
      --stats --rate --thresholds --persistent-conn --tun-info
";
