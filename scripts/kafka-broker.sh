# shellcheck shell=bash disable=SC2154 # what isn't assigned here comes from scripts/kafka
# One Kafka broker, for scripts/kafka: its jars, its folder, its settings, its processes. To be sourced after lib.sh.
#
# A broker lives in one folder, $dir:
#   broker.env         version, port, mode, heap, and the cluster that it is in, written once
#   fixed.properties   the settings, but for the ports chosen at each launch (controller, ZooKeeper)
#   server.properties, zookeeper.properties    written anew at each launch
#   kafka.pid, zookeeper.pid, kafka.log, zookeeper.log, data/, zookeeper-data/
# target/kafka/ports/PORT is a link to the folder, by which the commands find it.
store=$root/target/kafka
# For 4.x only: kafka-server leaves the choice of a logging back end to the distribution.
log4j2=2.25.4

# ---- jars

# The folder with all jars of a version; downloads them once, whoever else asks at the same time.
jars() {
  local version=$1 libs=$store/libs-$1
  if [ ! -d "$libs" ]; then
    command -v mvn >/dev/null || die "Maven (mvn) is needed to download Kafka $version, and isn't here" "run scripts/setup"
    mkdir -p "$store"
    (
      flock 8
      [ -d "$libs" ] || download "$version" "$libs"
    ) 8>"$libs.lock" || exit 1
  fi
  echo "$libs"
}

download() {
  local version=$1 libs=$2 work=$2.part logging=
  say "downloading Apache Kafka $version from Maven Central (about 55 MB, once)"
  rm -rf "$work"
  mkdir -p "$work"
  case $version in
  3.*) ;;
  *) logging="<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>$log4j2</version></dependency>" ;;
  esac
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    $logging
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
  # What is briefly out of reach is asked for once more (-U: Maven remembers failures); what came stays in Maven's cache.
  if ! fetch "$work" && ! fetch "$work" -U; then
    { grep -m1 ERROR "$work/mvn.log" || tail -n5 "$work/mvn.log"; } | sed 's/\x1b\[[0-9;]*m//g; s/^/  /' | cut -c1-400 >&2
    die "Maven could not download Kafka $version (log: $work/mvn.log)" "is there such a version, and does the network reach Maven Central?"
  fi
  mv "$work/jars" "$libs"
  rm -rf "$work"
}

fetch() { # FOLDER [OPTION]
  mvn -q -B ${2:+"$2"} -Dstyle.color=never -f "$1/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1/jars" >"$1/mvn.log" 2>&1 8>&-
}

# ---- one broker: its folder and its processes

# running NAME [DIR]: is the process in DIR/NAME.pid there, and is it ours (the kernel gives numbers out again)?
running() {
  local pid of=${2:-$dir}
  pid=$(cat "$of/$1.pid" 2>/dev/null) && [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] &&
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$of/$(config_of "$1")"
}

config_of() { case $1 in kafka) echo server.properties ;; *) echo zookeeper.properties ;; esac; }

# signal NAME SIGNAL
signal() { running "$1" && kill "-$2" "$(cat "$dir/$1.pid")" 2>/dev/null; }

# end NAME SECONDS: SIGTERM, and SIGKILL when it hasn't gone after that time.
end() {
  local tick
  running "$1" || return 0
  if (($2 > 0)); then
    signal "$1" TERM || true
    signal "$1" CONT || true
    for ((tick = 0; tick < $2 * 10; tick++)); do
      running "$1" || return 0
      sleep 0.1
    done
    say "$1 did not end within $2 s: killing it"
  fi
  signal "$1" KILL || true
  while running "$1"; do sleep 0.05; done
}

# find_broker PORT-OR-DIR: sets dir, and what its broker.env says.
find_broker() {
  case ${1:-9092} in
  */* | .) dir=$(realpath -m "$1") ;;
  *)
    is_number "${1:-9092}" 1 65535 || die "'$1' is neither a port nor a folder"
    dir=$(readlink "$store/ports/${1:-9092}") || die "no broker of this script is known on port ${1:-9092}" "scripts/kafka start --port ${1:-9092} starts one"
    ;;
  esac
  load_broker
}

load_broker() {
  [ -f "$dir/broker.env" ] || die "there is no broker in $dir" "scripts/kafka start --dir $dir starts one"
  joins='' node=1 cluster='' security='' listeners=()
  # shellcheck source=/dev/null
  . "$dir/broker.env"
}

# One command at a time starts or ends a given broker. The lock goes with the folder.
lock_broker() {
  exec 8>"$dir/lock" || exit 1
  flock -w 180 8 || die "another scripts/kafka has been at work on $dir for three minutes" "is one stuck?"
}

register() {
  mkdir -p "$store/ports"
  ln -sfn "$dir" "$store/ports/$port"
}

unregister() {
  [ "$(readlink "$store/ports/$port" 2>/dev/null)" != "$dir" ] || rm -f "$store/ports/$port"
}

# ---- settings

write_settings() {
  mkdir -p "$dir/data"
  printf '%s=%q\n' version "$version" port "$port" zookeeper "$zookeeper" heap "$heap" \
    joins "$joins" node "$node" cluster "$cluster" security "$security" >"$dir/broker.env"
  [ ${#listeners[@]} -eq 0 ] || printf 'listeners+=(%q)\n' "${listeners[@]}" >>"$dir/broker.env"
  # It has passwords, where there is security.
  rm -f "$dir/fixed.properties"
  (umask 077 && : >"$dir/fixed.properties" && : >"$dir/server.properties")
  {
    cat <<SETTINGS
log.dirs=$dir/data
num.partitions=$partitions
auto.create.topics.enable=$auto_create
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$replicas
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$(((replicas + 1) / 2))
SETTINGS
    case $version in
    3.*) ;;
    *) printf '%s\n' share.coordinator.state.topic.num.partitions=4 "share.coordinator.state.topic.replication.factor=$replicas" share.coordinator.state.topic.min.isr=1 ;;
    esac
    [ -z "$cluster" ] || cluster_settings
    [ -z "$security" ] || write_security_settings
    [ ${#settings[@]} -eq 0 ] || printf '%s\n' "${settings[@]}"
  } >"$dir/fixed.properties"
  write_logging INFO System.out >"$dir/server-log.properties"
  # A tool's standard output is its answer: warnings go to the other one.
  write_logging WARN System.err >"$dir/tool-log.properties"
}

# Log4j 1 (reload4j) up to 3.9, log4j 2 from 4.0 on.
write_logging() { # LEVEL STREAM
  local pattern='[%d] %p %m (%c)%n'
  case $version in
  3.*)
    printf '%s\n' "log4j.rootLogger=$1, out" log4j.appender.out=org.apache.log4j.ConsoleAppender "log4j.appender.out.target=$2" \
      log4j.appender.out.layout=org.apache.log4j.PatternLayout "log4j.appender.out.layout.ConversionPattern=$pattern"
    ;;
  *)
    local stream=SYSTEM_OUT
    [ "$2" = System.out ] || stream=SYSTEM_ERR
    printf '%s\n' "rootLogger.level=$1" rootLogger.appenderRef.out.ref=out appender.out.type=Console appender.out.name=out \
      "appender.out.target=$stream" appender.out.layout.type=PatternLayout "appender.out.layout.pattern=$pattern"
    ;;
  esac
}

# After a kill, the controller refuses the new broker until the old one's session has ended, 9 s by default: it is made
# shorter. The port beside the broker's own (controller or ZooKeeper) is chosen at each launch.
write_server_properties() { # BESIDE
  if $zookeeper; then
    printf '%s\n' broker.id=1 "listeners=PLAINTEXT://127.0.0.1:$port" "zookeeper.connect=127.0.0.1:$1"
  elif [ -n "$cluster" ]; then
    member_properties
  elif [ -n "$security" ]; then
    printf '%s\n' process.roles=broker,controller node.id=1 "controller.quorum.voters=1@127.0.0.1:$1" \
      controller.listener.names=CONTROLLER broker.heartbeat.interval.ms=500 broker.session.timeout.ms=3000
    secure_listeners "$1" "$(free_port)"
  elif [ -n "$joins" ]; then
    grep '^controller.quorum.voters=' "$joins/server.properties"
    printf '%s\n' process.roles=broker "node.id=$node" "listeners=PLAINTEXT://127.0.0.1:$port" \
      "advertised.listeners=PLAINTEXT://127.0.0.1:$port" controller.listener.names=CONTROLLER \
      broker.heartbeat.interval.ms=500 broker.session.timeout.ms=3000
  else
    printf '%s\n' process.roles=broker,controller node.id=1 "controller.quorum.voters=1@127.0.0.1:$1" \
      "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$1" "advertised.listeners=PLAINTEXT://127.0.0.1:$port" \
      controller.listener.names=CONTROLLER broker.heartbeat.interval.ms=500 broker.session.timeout.ms=3000
  fi >"$dir/server.properties"
  cat "$dir/fixed.properties" >>"$dir/server.properties"
}

# ---- launching

# log_flag server|tool
log_flag() {
  case $version in
  3.*) echo "-Dlog4j.configuration=file:$dir/$1-log.properties" ;;
  *) echo "-Dlog4j2.configurationFile=$dir/$1-log.properties" ;;
  esac
}

# What makes a JVM start sooner, for one that soon ends.
short_lived=(-Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC)

# The descriptors are closed here rather than by who calls it: for a function bash keeps copies of them meanwhile, and a
# signal's trap could not close them.
short_java() { # CLASS ARGS…
  "$(java_command)" "${short_lived[@]}" "$(log_flag tool)" -cp "$libs/*" "$@" 8>&- 9>&-
}

# serve NAME HEAP CLASS: in a session of its own (a Ctrl-C in the terminal isn't meant for it), with none of our files open.
serve() {
  local spare=()
  # Three of them share the machine.
  [ -z "$cluster" ] || spare=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1)
  setsid "$(java_command)" "-Xmx$2" "-Xms$2" "${spare[@]}" "$(log_flag server)" -cp "$libs/*" "$3" "$dir/$(config_of "$1")" \
    </dev/null >>"$dir/$1.log" 2>&1 8>&- 9>&- &
  local child=$!
  disown # or bash reports it when it is killed
  echo "$child" >"$dir/$1.pid"
  # Until it has become Java, it can't be told from this script.
  until running "$1" || ! kill -0 "$child" 2>/dev/null; do sleep 0.01; done
}

# owns NAME PORT: is it this process that listens there, rather than some other?
owns() {
  local inode
  inode=$(awk -v port="$(printf ':%04X' "$2")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  [ -n "$inode" ] && [ -n "$(find "/proc/$(cat "$dir/$1.pid")/fd" -lname "socket:\[$inode\]" 2>/dev/null)" ]
}

# Does the broker answer a Metadata request (version 1, about no topic), and does it name at least one broker?
answers() {
  local -a bytes
  # shellcheck disable=SC2016 # the inner shell expands it
  read -ra bytes < <(timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0"
    printf "\0\0\0\16\0\3\0\1\0\0\0\1\377\377\0\0\0\0" >&3
    head -c 12 <&3 | od -An -v -tu1' "$1" 2>/dev/null) || true
  [ ${#bytes[@]} -eq 12 ] && ((bytes[11] > 0))
}

kafka_is_up() { owns kafka "$port" && answers "$port"; }
zookeeper_is_up() { owns zookeeper "$beside"; }

# await NAME CHECK: until it is up; fails when the process ends or two minutes have passed.
await() {
  local deadline=$((SECONDS + 120))
  until "$2"; do
    running "$1" || { say "error: $1 ended while it was starting"; return 1; }
    ((SECONDS < deadline)) || { say "error: $1 did not come up within two minutes"; return 1; }
    sleep 0.2
  done
}

# What the log has to say about a failed start.
explain() {
  say "from $dir/$1.log:"
  { grep -E '^\[[^]]*\] (ERROR|FATAL)|^(Exception|Error|Caused by)|Exception: ' "$dir/$1.log" || tail -n5 "$dir/$1.log"; } | tail -n5 | cut -c1-300 | sed 's/^/  /' >&2
}

# Starts the broker in $dir. Leaves nothing running when it fails.
launch() {
  local up=kafka_is_up
  libs=$(jars "$version") || exit 1
  if $zookeeper; then
    launch_zookeeper || { explain zookeeper; end zookeeper 0; return 1; }
  else
    beside=$(free_port)
  fi
  write_server_properties "$beside"
  if ! $zookeeper && [ ! -f "$dir/data/meta.properties" ]; then
    format >"$dir/format.log" 2>&1 ||
      { say "error: Kafka could not format $dir/data:"; grep -v '^\s*at ' "$dir/format.log" | head -n5 | cut -c1-300 | sed 's/^/  /' >&2; return 1; }
  fi
  [ -z "$security$cluster" ] || { note_log && up=says_it_is_up; }
  serve kafka "$heap" kafka.Kafka
  await kafka "$up" || { explain kafka; end kafka 0; end zookeeper 0; return 1; }
  touch "$dir/started"
}

# Passwords go through a file: everybody sees the arguments of a process.
format() {
  local -a arguments=(kafka.tools.StorageTool format -t "$(cluster_id)" -c "$dir/server.properties")
  [ -n "$security" ] || { short_java "${arguments[@]}" && return; }
  (umask 077 && { printf '%s\n' "${arguments[@]}" && scram_arguments; } >"$dir/format")
  short_java "@$dir/format"
  rm "$dir/format"
}

cluster_id() {
  if [ -n "$cluster" ]; then sed -n 's/^cluster_id=//p' "$cluster/cluster.env"; elif [ -n "$joins" ]; then sed -n 's/^cluster.id=//p' "$joins/data/meta.properties"; else new_cluster_id; fi
}

# 16 random bytes in URL-safe base64; Kafka refuses an id that begins with a dash.
new_cluster_id() { printf 'k%s' "$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-20)Q"; }

launch_zookeeper() {
  if running zookeeper; then
    beside=$(sed -n 's/^clientPort=//p' "$dir/zookeeper.properties")
  else
    beside=$(free_port)
    printf '%s\n' "dataDir=$dir/zookeeper-data" "clientPort=$beside" clientPortAddress=127.0.0.1 admin.enableServer=false >"$dir/zookeeper.properties"
    serve zookeeper 128m org.apache.zookeeper.server.quorum.QuorumPeerMain
    await zookeeper zookeeper_is_up || return 1
  fi
  # After a kill, ZooKeeper believes the old broker alive until its session ends, and the new one would be refused.
  if [ -f "$dir/data/meta.properties" ] && [ ! -f "$dir/data/.kafka_cleanshutdown" ]; then
    printf '%s\n' 'delete /brokers/ids/1' 'delete /controller' quit |
      short_java org.apache.zookeeper.ZooKeeperMain -server "127.0.0.1:$beside" >"$dir/zookeeper-cli.log" 2>&1 || true
  fi
}
