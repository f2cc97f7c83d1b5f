# shellcheck shell=bash disable=SC2034,SC2154 # what isn't assigned here comes from scripts/kafka, or goes there
# Three brokers in one cluster, for scripts/kafka. Each of them is a controller too, so that any one of them may go. To be
# sourced after kafka-security.sh.
#
# The cluster lives in one folder, $home:
#   cluster.env   its id, and the ports that only the brokers themselves use, written once
#   secrets/      as of one broker, but shared by the three
#   1/ 2/ 3/      the brokers, each in a folder as of any other broker; the folder's name is the broker's number

is_cluster() { [ -f "$1/cluster.env" ]; }

# The brokers' folders: of a cluster, or of one broker alone.
brokers_in() { if is_cluster "$1"; then printf '%s\n' "$1"/{1,2,3}; else printf '%s\n' "$1"; fi; }

# each_broker COMMAND…: with the folder of each broker in $home, all at once. Fails where one fails.
each_broker() {
  local folder child children=() failed=0
  for folder in "$home"/{1,2,3}; do
    ("$@" "$folder") &
    children+=($!)
  done
  for child in "${children[@]}"; do wait "$child" || failed=1; done
  return $failed
}

prepare_cluster() { # PORT PORT PORT; once home and all listeners (in all) are known
  local listener
  replicas=3 home=$(realpath "$home")
  printf '%s=%q\n' cluster_id "$(new_cluster_id)" controllers "$(free_port) $(free_port) $(free_port)" \
    internals "$(free_port) $(free_port) $(free_port)" >"$home/cluster.env"
  port=$1 dir=$home
  [ -z "$security" ] || [ -d "$dir/secrets" ] || make_secrets
  cluster=$home
  for node in 1 2 3; do
    dir=$home/$node port=$1 listeners=()
    shift
    mkdir -p "$dir"
    [ -z "$security" ] || ln -sfn ../secrets "$dir/secrets"
    for listener in "${all[@]}"; do
      [[ $listener != "$node/"* ]] || listeners+=("${listener#*/}")
    done
    write_settings
    register
  done
}

# What all brokers of a cluster have beside what is asked for.
cluster_settings() {
  cat <<SETTINGS
default.replication.factor=3
min.insync.replicas=2
broker.rack=rack-$node
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
log.cleaner.dedupe.buffer.size=8388608
SETTINGS
}

# Of the cluster's lists of ports, that of this broker.
own_port() { echo "$1" | cut -d' ' -f"$node"; }

member_properties() {
  local controller internal voters
  # shellcheck source=/dev/null
  . "$cluster/cluster.env"
  controller=$(own_port "$controllers") internal=$(own_port "$internals")
  # shellcheck disable=SC2086 # three ports
  voters=$(printf '1@127.0.0.1:%s,2@127.0.0.1:%s,3@127.0.0.1:%s' $controllers)
  printf '%s\n' process.roles=broker,controller "node.id=$node" "controller.quorum.voters=$voters" \
    controller.listener.names=CONTROLLER broker.heartbeat.interval.ms=500 broker.session.timeout.ms=3000
  if [ -n "$security" ]; then
    secure_listeners "$controller" "$internal"
  else
    printf '%s\n' "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller" "advertised.listeners=PLAINTEXT://127.0.0.1:$port"
  fi
}

# Starts all three: none is up before another one is.
launch_cluster() { each_broker again >/dev/null; }

# For hold.
hold_cluster() {
  home=$dir all=("${listeners[@]}")
  prepare_cluster "$(free_port)" "$(free_port)" "$(free_port)"
  until launch_cluster; do
    # Someone else may have taken a port since it was found free.
    ((--tries > 0)) || exit 1
    for dir in "$home"/{1,2,3}; do
      load_broker
      end kafka 0
      unregister
    done
    rm -rf "$home"/{1,2,3}
    prepare_cluster "$(free_port)" "$(free_port)" "$(free_port)"
  done
  dir=$home
}

addresses_of() { # FOLDER
  local folder
  for folder in $(brokers_in "$1"); do
    # shellcheck source=/dev/null
    (. "$folder/broker.env" && printf '127.0.0.1:%s\n' "$port")
  done | paste -sd,
}

start_cluster() {
  local first
  first=${port:-9092}
  home=${dir:-$store/cluster-$first}
  ((first > 0 && first < 65534)) || die "--port $first: a cluster needs a port and the two after it" "hold finds free ones"
  for port in "$first" $((first + 1)) $((first + 2)); do check_port; done
  dir=$home
  check_dir
  jars "$version" >/dev/null || exit 1
  mkdir -p "$home"
  all=("${listeners[@]}")
  prepare_cluster "$first" $((first + 1)) $((first + 2))
  launch_cluster || exit 1
  echo "Kafka $version answers on $(addresses_of "$home") (folders: $home/1 to 3)"
  [ -z "$security" ] || echo "Its protocol is ${security^^}; certificates and passwords: $home/secrets"
}
